//! A primary is killed while a commit waits for its standby. After its restart the commit is visible, although no standby
//! has it: no secret is released because of it.

use super::promoted::PrimaryAndStandby;
use crate::rig::claviger::wait_until;
use crate::rig::oidc::allow;
use crate::rig::pgbouncer::PgBouncer;
use crate::rig::postgres::Postgres;
use crate::rig::replicas::{Replicas, events_in, new_database};
use crate::tickets::history::{Attempt, HistoryFaults, check_history};
use crate::tickets::under_load::{issue, redeem};
use serde_json::json;
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_commit_without_a_standby_releases_no_secret() {
    let pair = PrimaryAndStandby::start();
    let url = new_database(pair.primary());
    assert_releases_nothing(pair, &url, &url);
}

/// The pooler answers instead of the server; it does not know the outcome either.
#[test]
fn a_commit_without_a_standby_releases_no_secret_through_a_pooler() {
    let pair = PrimaryAndStandby::start();
    let url = new_database(pair.primary());
    let pooler = PgBouncer::start(&url, "transaction", &["server_login_retry = 1"]);
    assert_releases_nothing(pair, &url, pooler.url());
}

/// Redeems at a replica with the second URL while no standby answers, and restarts the server meanwhile.
fn assert_releases_nothing(mut pair: PrimaryAndStandby, url: &str, through: &str) {
    let policy = allow(&["homelab/{repo}/{branch}"], &json!({}));
    let secrets = json!({"homelab/site/main": {"TOKEN": "s3cret"}});
    let replicas = Replicas::start(1, through, &secrets, &[("site", policy)], &json!({}));
    let (path, ticket) = replicas.ticket(0);

    pair.freeze_standby();
    let (sender, answered) = mpsc::channel();
    std::thread::scope(|scope| {
        let (replicas, path) = (&replicas, &path);
        scope.spawn(move || sender.send(redeem(replicas, 0, path)));
        wait_until("the commit to wait for the standby", || pair.primary().waiting_commits() > 0);
        pair.restart_primary();
        let state = "SELECT CAST(state AS TEXT) FROM tickets";
        wait_until("the commit to be visible", || Postgres::query_in(url, state) == "1");
        // Without a standby the request times out after ten seconds.
        let status = answered.recv_timeout(Duration::from_secs(25)).unwrap();
        assert_eq!(status, None, "the outcome of the commit is unknown");
        pair.thaw_standby();
        wait_until("the replica to serve", || issue(replicas, 0, &replicas.token()).is_some());
        assert_eq!(redeem(replicas, 0, path), Some(410), "the redemption is final");
        let attempts = [Attempt { ticket: ticket.clone(), status }];
        assert_eq!(check_history(&attempts, &events_in(url)), HistoryFaults::default());
    });
}
