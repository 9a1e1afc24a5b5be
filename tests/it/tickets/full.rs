//! The limit of waiting tickets in a database holds over all callers: a client that can create tokens has any
//! number of callers.

use super::*;

/// A ticket of an unused caller that takes as much as all callers may use.
const LARGE: &str = "INSERT INTO tickets (id, owner, issued_at, expires_at, details, verifier, bundle_bytes) \
     VALUES ('large', 'nobody', 0, 9000000000000000, '', '', 1073741824)";

#[tokio::test]
async fn where_as_much_waits_as_may_no_caller_gets_a_ticket_until_there_is_room() {
    for place in [Place::sqlite(), Place::postgres().await] {
        let (one, other) = (place.replica().await, place.replica().await);
        let issues = async |replica: &Replica, subject: &str| {
            let token = TicketToken::random().unwrap();
            let ticket = ticket(&token, subject);
            replica.issues(&ticket, &token, &bundle()).await
        };
        assert!(issues(&one, "a").await && issues(&other, "b").await);
        one.database.run(LARGE, &[]).await.unwrap();
        for replica in [&one, &other] {
            replica.tickets.store.tidy(start()).await.unwrap();
            assert!(!issues(replica, "c").await, "any replica's and any caller's");
        }
        one.database.run("DELETE FROM tickets WHERE id = 'large'", &[]).await.unwrap();
        for replica in [&one, &other] {
            replica.tickets.store.tidy(start()).await.unwrap();
            assert!(issues(replica, "c").await);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_counted_is_forgotten_all_the_same() {
    for place in [Place::sqlite(), Place::postgres().await] {
        let replica = place.replica().await;
        let token = replica.waiting("a").await;
        assert!(replica.redeems(&token).await);
        for id in ["one", "other"] {
            let huge = LARGE.replace("1073741824", "9223372036854775807").replace("large", id);
            replica.database.run(leaked(huge), &[]).await.unwrap();
        }
        let end = start() + LIFE + SignedDuration::try_from(replica.tickets.store.state_retention()).unwrap();
        assert!(replica.tickets.store.tidy(end).await.is_err(), "it is told");
        let left = replica.database.run("SELECT count(*) FROM tickets WHERE state <> 0", &[]).await.unwrap();
        assert_eq!(left[0].number(0).unwrap(), 0);
    }
}

#[tokio::test]
async fn what_callers_of_very_many_have_ended_is_looked_for_whatever_the_second() {
    // More ended tickets than are kept for all callers together; all belong to one caller.
    const ENDED: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 130000) \
         INSERT INTO tickets (id, owner, issued_at, expires_at, details, verifier, bundle_bytes, state) \
         SELECT CAST(n AS TEXT), 'greedy', 0, $1, '', '', 0, 3 FROM numbers";
    for place in [Place::sqlite(), Place::postgres().await] {
        let replica = place.replica().await;
        replica.database.run(ENDED, &[start().as_microsecond().into()]).await.unwrap();
        // Not in the first second of a minute, as when upkeep was late.
        let late = start() + SignedDuration::from_secs(6 * 60 + 7);
        let mut left = 130_000;
        for (seconds, goes) in [(0, true), (59, false), (61, true), (62, false)] {
            replica.tickets.store.tidy(late + SignedDuration::from_secs(seconds)).await.unwrap();
            let rows = replica.database.run("SELECT count(*) FROM tickets WHERE state <> 0", &[]).await.unwrap();
            let now = rows[0].number(0).unwrap();
            assert_eq!(now < left, goes, "{seconds}: {now} of {left}");
            left = now;
        }
    }
}

#[tokio::test]
async fn rows_that_hold_no_ticket_end_no_list() {
    for place in [Place::sqlite(), Place::postgres().await] {
        let replica = place.replica().await;
        let (a, b) = (replica.waiting("a").await, replica.waiting("b").await);
        // Some are newer than the tickets, so that the first pages contain only these.
        for id in 0..5 {
            let id = format!("no-ticket-{id}");
            let row = LARGE
                .replace("1073741824", "0")
                .replace("'large', 'nobody', 0", &format!("'{id}', 'nobody', 9000000000000000"));
            replica.database.run(leaked(row), &[]).await.unwrap();
        }
        for limit in 1..4 {
            let (mut after, mut found) = (None, Vec::new());
            loop {
                let page = replica.tickets.store.list_waiting(start(), after, limit).await.unwrap();
                let Some(last) = page.last() else { break };
                assert!(page.len() <= limit);
                after =
                    Some(claviger::tickets::ListPosition { issued_at: last.issued_at.as_microsecond(), id: last.id });
                found.extend(page.iter().map(|ticket| ticket.id));
            }
            found.sort_by_key(ToString::to_string);
            let mut ids = [a.ticket_id(), b.ticket_id()];
            ids.sort_by_key(ToString::to_string);
            assert_eq!(found, ids, "{limit}");
        }
    }
}

/// Statements must be constants; this makes one from a string.
fn leaked(sql: String) -> &'static str {
    sql.leak()
}
