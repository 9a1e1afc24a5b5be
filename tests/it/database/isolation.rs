//! The isolation level of transactions.

use super::*;
use crate::rig::pgbouncer::PgBouncer;
use crate::rig::postgres::{parse_postgres_url, postgres};

/// At a stricter level a transaction that waited for a lock does not see what its holder committed.
#[tokio::test]
async fn transactions_are_read_committed_where_the_default_is_stricter() {
    let url = postgres().database().await;
    let stricter = "DO $$ BEGIN EXECUTE \
                    format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$";
    postgres().execute_in(&url, stricter.to_owned()).await;
    let pooler = PgBouncer::start(&url, "transaction", &[]);
    for url in [parse_postgres_url(&url), parse_postgres_url(pooler.url())] {
        let database = open(url).await.unwrap();
        assert_eq!(query(&database, "SHOW default_transaction_isolation").await, "serializable");
        let mut work = database.begin().await.unwrap();
        let level = work.run("SHOW transaction_isolation", &[]).await.unwrap();
        assert_eq!(level[0].text(0).unwrap(), "read committed");
        work.commit().await.unwrap();
    }
}
