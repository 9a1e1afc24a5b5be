//! Events reported as durable survive a crash of the database server.

use super::TestDatabase;
use crate::rig::postgres::{Postgres, parse_postgres_url};
use claviger::audit::AuditUnavailable;
use claviger::config::database::Url;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_events_survive_a_crash_of_the_server() {
    let mut server = Postgres::start(&[]).unwrap();
    let url = server.database().await;
    let mut durable = 0;
    for _ in 0..3 {
        let db = TestDatabase::at(Url::Postgres(parse_postgres_url(&url)), None).await;
        let replica = db.replica().await;
        let told = Arc::new(AtomicUsize::new(0));
        let mut builds = JoinSet::new();
        for build in 0..16 {
            let (log, told) = (replica.log.clone(), told.clone());
            builds.spawn(async move {
                for number in 0..100_000 {
                    match log.record(super::event(build + number)).await {
                        Ok(()) => told.fetch_add(1, Ordering::SeqCst),
                        Err(AuditUnavailable) => return,
                    };
                }
            });
        }
        while told.load(Ordering::SeqCst) < 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.stop();
        builds.join_all().await;
        server.start_again();
        durable += told.load(Ordering::SeqCst);
        db.database.close().await;

        let db = TestDatabase::at(Url::Postgres(parse_postgres_url(&url)), None).await;
        let replica = db.replica().await;
        let verified = replica.verify().await;
        assert_eq!(verified.first_broken, None);
        // An event whose write was not confirmed may still be stored; no confirmed event is lost.
        assert!(verified.events >= durable as u64, "{} of {durable}", verified.events);
        durable = usize::try_from(verified.events).unwrap();
        replica.shut_down().await;
    }
}
