//! The limit of waiting tickets in a database holds over all callers: a client that can create tokens has any
//! number of callers.

use super::*;

/// Inserts a ticket of another caller that uses the total limit of all callers.
const LARGE: &str = "INSERT INTO tickets (id, owner, issued_at, expires_at, details, verifier, bundle_bytes) \
     VALUES ('large', 'nobody', 0, 9000000000000000, '', '', 1073741824)";

#[tokio::test]
async fn at_the_total_limit_no_caller_gets_a_ticket() {
    for db in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let (one, other) = (db.replica().await, db.replica().await);
        let issues = async |replica: &Replica, subject: &str| {
            let token = TicketToken::random().unwrap();
            let ticket = ticket(&token, subject);
            replica.issue(&ticket, &token, &bundle()).await
        };
        assert!(issues(&one, "a").await && issues(&other, "b").await);
        one.database.run(LARGE, &[]).await.unwrap();
        for replica in [&one, &other] {
            replica.tickets.store.tidy(start()).await.unwrap();
            assert!(!issues(replica, "c").await, "the limit holds for all replicas and callers");
        }
        one.database.run("DELETE FROM tickets WHERE id = 'large'", &[]).await.unwrap();
        for replica in [&one, &other] {
            replica.tickets.store.tidy(start()).await.unwrap();
            assert!(issues(replica, "c").await);
        }
    }
}

#[tokio::test]
async fn tickets_that_cannot_be_counted_are_deleted() {
    for db in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let replica = db.replica().await;
        let token = replica.new_ticket("a").await;
        assert!(replica.redeem(&token).await);
        for id in ["one", "other"] {
            let huge = LARGE.replace("1073741824", "9223372036854775807").replace("large", id);
            replica.database.run(static_sql(huge), &[]).await.unwrap();
        }
        let end = start() + LIFE + SignedDuration::try_from(replica.tickets.store.state_retention()).unwrap();
        assert!(replica.tickets.store.tidy(end).await.is_err(), "the error is reported");
        let left = replica.database.run("SELECT count(*) FROM tickets WHERE state <> 0", &[]).await.unwrap();
        assert_eq!(left[0].number(0).unwrap(), 0);
    }
}

#[tokio::test]
async fn ended_tickets_of_callers_with_very_many_are_deleted_early() {
    // More ended tickets than are kept for all callers together; all belong to one caller.
    const ENDED: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 130000) \
         INSERT INTO tickets (id, owner, issued_at, expires_at, details, verifier, bundle_bytes, state) \
         SELECT CAST(n AS TEXT), 'greedy', 0, $1, '', '', 0, 3 FROM numbers";
    for db in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let replica = db.replica().await;
        replica.database.run(ENDED, &[start().as_microsecond().into()]).await.unwrap();
        // Not in the first second of a minute, as if upkeep was late.
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
async fn invalid_rows_do_not_truncate_a_list() {
    for db in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let replica = db.replica().await;
        let (a, b) = (replica.new_ticket("a").await, replica.new_ticket("b").await);
        // Some invalid rows are newer than the tickets, so that the first pages contain only these.
        for id in 0..5 {
            let id = format!("no-ticket-{id}");
            let row = LARGE
                .replace("1073741824", "0")
                .replace("'large', 'nobody', 0", &format!("'{id}', 'nobody', 9000000000000000"));
            replica.database.run(static_sql(row), &[]).await.unwrap();
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

/// A constant from a string, because statements must be constants.
fn static_sql(sql: String) -> &'static str {
    sql.leak()
}
