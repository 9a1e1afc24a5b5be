//! The server closes recently used connections between two requests: requests still succeed.

use super::{Replica, TestDatabase, TicketStorage};
use crate::rig::postgres::{parse_postgres_url, postgres};
use claviger::config::database::Url;
use claviger::tickets::FinalState;

const HANG_UP: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn close_connections(url: &str) {
    postgres().execute_in(url, HANG_UP.to_owned()).await;
}

async fn replica(url: &str) -> Replica {
    let db =
        TestDatabase { url: Url::Postgres(parse_postgres_url(url)), store: TicketStorage::Database, _folder: None };
    db.replica().await
}

#[tokio::test]
async fn a_lookup_is_repeated_on_a_new_connection() {
    let url = postgres().database().await;
    let replica = replica(&url).await;
    let token = replica.new_ticket("a").await;
    for _ in 0..3 {
        assert!(replica.tickets.store.find(token.ticket_id()).await.unwrap().is_some());
        close_connections(&url).await;
    }
}

#[tokio::test]
async fn a_group_of_commits_is_repeated_on_a_new_connection() {
    let url = postgres().database().await;
    let replica = replica(&url).await;
    for _ in 0..3 {
        let token = replica.new_ticket("a").await;
        close_connections(&url).await;
        assert!(replica.end(&token, FinalState::Revoked).await);
        close_connections(&url).await;
        // It was ended once, and the refused attempt leaves nothing locked.
        assert!(!replica.end(&token, FinalState::Revoked).await);
    }
}
