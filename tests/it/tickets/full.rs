//! A bound on what waits in a database, whoever it is for: one who can have tokens made has any number of callers.

use super::*;

/// A ticket of nobody's that takes as much as all may.
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
            replica.tickets.store.forget(start()).await.unwrap();
            assert!(!issues(replica, "c").await, "any replica's and any caller's");
        }
        one.database.run("DELETE FROM tickets WHERE id = 'large'", &[]).await.unwrap();
        for replica in [&one, &other] {
            replica.tickets.store.forget(start()).await.unwrap();
            assert!(issues(replica, "c").await);
        }
    }
}
