//! A server that closes recently used connections between two requests: clients do not notice.

use super::{Place, Replica, TicketStorage};
use crate::rig::postgres::{checked, postgres};
use claviger::config::database::Url;
use claviger::tickets::FinalState;

const HANG_UP: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn hang_up(url: &str) {
    postgres().run_in(url, HANG_UP.to_owned()).await;
}

async fn replica(url: &str) -> Replica {
    let place = Place { url: Url::Postgres(checked(url)), store: TicketStorage::Database, _folder: None };
    place.replica().await
}

#[tokio::test]
async fn a_lookup_is_asked_again() {
    let url = postgres().database().await;
    let replica = replica(&url).await;
    let token = replica.waiting("a").await;
    for _ in 0..3 {
        assert!(replica.tickets.store.find(token.ticket_id()).await.unwrap().is_some());
        hang_up(&url).await;
    }
}

#[tokio::test]
async fn a_group_is_begun_again() {
    let url = postgres().database().await;
    let replica = replica(&url).await;
    for _ in 0..3 {
        let token = replica.waiting("a").await;
        hang_up(&url).await;
        assert!(replica.ends(&token, FinalState::Revoked).await);
        hang_up(&url).await;
        // It was ended once, and the refused attempt leaves nothing locked.
        assert!(!replica.ends(&token, FinalState::Revoked).await);
    }
}
