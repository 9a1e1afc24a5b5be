//! The stored part of a ticket reveals nothing alone, and opens only for its own ticket.

use super::*;
use claviger::database::Param;

async fn on_both(test: impl AsyncFn(&TestDatabase)) {
    // Boxed: the futures of these tests are large.
    Box::pin(test(&TestDatabase::sqlite())).await;
    Box::pin(test(&TestDatabase::postgres().await)).await;
}

async fn opened(replica: &Replica, token: &TicketToken) -> Option<Bundle> {
    let presented = replica.present(token, start()).await.ok()?;
    replica.tickets.sealer.open(&presented.sealed, token).ok()
}

#[tokio::test]
async fn any_replica_with_the_databases_key_opens_it_and_no_other() {
    on_both(async |db| {
        let token = db.replica().await.new_ticket("a").await;
        let other = db.replica().await;
        assert_eq!(opened(&other, &token).await, Some(bundle()), "another process, and after a restart");
        let stranger = db.replica_with_key(&[8; 32]).await;
        assert_eq!(opened(&stranger, &token).await, None);
        assert!(other.redeem(&token).await);
        assert!(!stranger.redeem(&token).await);
    })
    .await;
}

#[tokio::test]
async fn swapped_and_edited_rows_do_not_open() {
    on_both(async |db| {
        let replica = db.replica().await;
        let (mine, theirs) = (replica.new_ticket("a").await, replica.new_ticket("b").await);
        let [id, other] = [&mine, &theirs].map(|token| token.ticket_id().to_string());
        // Swaps columns with another row: each alone, and those that verify each other together.
        for columns in [&["bundle"][..], &["details"], &["verifier"], &["bundle", "details"], &["bundle", "verifier"]] {
            let kept = columns_of(&replica, &id).await;
            for column in columns {
                let from = columns_of(&replica, &other).await;
                set(&replica, &id, column, from.iter().find(|(name, _)| name == column).unwrap().1.as_slice()).await;
            }
            assert_eq!(opened(&replica, &mine).await, None, "{columns:?}");
            for (column, bytes) in &kept {
                set(&replica, &id, column, bytes).await;
            }
            assert_eq!(opened(&replica, &mine).await, Some(bundle()));
        }
        // A whole row under another id is still bound to its own id.
        let kept = columns_of(&replica, &id).await;
        for (column, bytes) in columns_of(&replica, &other).await {
            set(&replica, &id, column, &bytes).await;
        }
        assert_eq!(opened(&replica, &mine).await, None);
        assert_eq!(opened(&replica, &theirs).await, Some(bundle()));
        for (column, bytes) in kept {
            set(&replica, &id, column, &bytes).await;
        }

        // Any edited byte is found: id, times, binding, address, caller, policies, keys, secrets, ciphertext, tag.
        for column in ["details", "bundle"] {
            let whole = columns_of(&replica, &id).await.into_iter().find(|(name, _)| *name == column).unwrap().1;
            for db in 0..whole.len() {
                let mut edited = whole.clone();
                edited[db] ^= 1;
                set(&replica, &id, column, &edited).await;
                assert_eq!(opened(&replica, &mine).await, None, "{column} byte {db}");
            }
            set(&replica, &id, column, &whole).await;
        }
        assert_eq!(opened(&replica, &mine).await, Some(bundle()));
        // Plain columns for counting are not sealed.
        let late: i64 = (start() + LIFE).as_microsecond() * 2;
        replica.database.run("UPDATE tickets SET expires_at = $1", &[late.into()]).await.unwrap();
        assert_eq!(replica.rejection(&mine, start() + LIFE).await, Rejection::Expired);
    })
    .await;
}

const SEALED: [&str; 3] = ["details", "verifier", "bundle"];

async fn columns_of(replica: &Replica, id: &str) -> Vec<(&'static str, Vec<u8>)> {
    let sql = "SELECT details, verifier, bundle FROM tickets WHERE id = $1";
    let rows = replica.database.run(sql, &[id.into()]).await.unwrap();
    let column = |(db, name)| (name, rows[0].optional_bytes(db).unwrap().unwrap());
    SEALED.into_iter().enumerate().map(column).collect()
}

async fn set(replica: &Replica, id: &str, column: &str, bytes: &[u8]) {
    let sql = match column {
        "details" => "UPDATE tickets SET details = $2 WHERE id = $1",
        "verifier" => "UPDATE tickets SET verifier = $2 WHERE id = $1",
        _ => "UPDATE tickets SET bundle = $2 WHERE id = $1",
    };
    replica.database.run(sql, &[id.into(), Param::Bytes(bytes)]).await.unwrap();
}

#[tokio::test]
async fn ended_tickets_keep_no_bundle() {
    on_both(async |db| {
        let replica = db.replica().await;
        let tokens = [replica.new_ticket("a").await, replica.new_ticket("b").await, replica.new_ticket("c").await];
        assert!(replica.redeem(&tokens[0]).await);
        assert!(replica.end(&tokens[1], FinalState::Revoked).await);
        assert!(replica.end(&tokens[2], FinalState::Expired).await);
        let left = "SELECT count(*) FROM tickets WHERE bundle IS NOT NULL OR bundle_bytes > 0";
        assert_eq!(replica.database.run(left, &[]).await.unwrap()[0].number(0).unwrap(), 0);
    })
    .await;
}
