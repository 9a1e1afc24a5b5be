//! While the database cannot be written, events that no caller waits for are kept, up to a maximum.

use super::{TestDatabase, event, event_json, on_every_database};
use claviger::audit::{AuditLog, ChainHasher, Filter};
use claviger::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;

/// The queue, and the failed events that are kept.
const MAX_KEPT: usize = 8192;

on_every_database! {
    events_of_an_outage_are_written_after_it
    events_beyond_the_maximum_are_counted_as_lost
    the_write_duration_includes_the_time_in_the_queue
}

/// A log and its metrics.
async fn log_with_metrics(db: &TestDatabase) -> (AuditLog, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
    let hasher = ChainHasher::new(None, &[]);
    let opened = AuditLog::open(&db.database, false, hasher, db.clock.clone(), metrics.clone()).await;
    (opened.unwrap().0, metrics)
}

/// The value of a series without labels.
fn value(metrics: &Metrics, name: &str) -> f64 {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}

async fn begin_outage(db: &TestDatabase) {
    db.database.run("ALTER TABLE audit_events RENAME TO unavailable", &[]).await.unwrap();
}

async fn end_outage(db: &TestDatabase) {
    db.database.run("ALTER TABLE unavailable RENAME TO audit_events", &[]).await.unwrap();
}

/// Queues events that no caller waits for, and waits until the writer has taken them.
async fn record_later(log: &AuditLog, numbers: std::ops::Range<usize>) {
    for number in numbers {
        log.record_later(event(number));
    }
    wait_until("the queue to be empty", async || log.queued_count() == 0).await;
}

async fn wait_until(what: &str, is_true: impl AsyncFn() -> bool) {
    for _ in 0..1500 {
        if is_true().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited too long for {what}");
}

async fn count(log: &AuditLog) -> usize {
    log.reader().events(&Filter::default(), None, usize::MAX >> 1).await.unwrap().events.len()
}

async fn events_of_an_outage_are_written_after_it(db: TestDatabase) {
    let (log, metrics) = log_with_metrics(&db).await;
    log.record(event(0)).await.unwrap();
    begin_outage(&db).await;
    assert!(log.record(event(1)).await.is_err(), "it is reported as not written");
    record_later(&log, 2..2000).await;
    end_outage(&db).await;
    log.record(event(2000)).await.unwrap();
    wait_until("all events", async || count(&log).await == 2000).await;
    assert_eq!(log.reader().verify().await.unwrap().first_broken, None);
    let mut first = log.reader().events(&Filter::default(), None, 2000).await.unwrap().events;
    let seqs: Vec<i64> = first.drain(..).map(|event| event_json(&event)["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|newer, older| newer > older));
    assert!(value(&metrics, "claviger_audit_events_lost_total") == 0.0);
}

async fn events_beyond_the_maximum_are_counted_as_lost(db: TestDatabase) {
    let (log, metrics) = log_with_metrics(&db).await;
    begin_outage(&db).await;
    for round in 0..4 {
        record_later(&log, round * MAX_KEPT / 4..(round + 1) * MAX_KEPT / 4).await;
    }
    record_later(&log, 0..1000).await;
    let lost = "claviger_audit_events_lost_total";
    wait_until("the lost events to be counted", async || value(&metrics, lost) >= 1000.0).await;
    assert!(value(&metrics, lost) < 1000.5, "no others are lost");
    end_outage(&db).await;
    wait_until("the other events", async || count(&log).await == MAX_KEPT).await;
}

async fn the_write_duration_includes_the_time_in_the_queue(db: TestDatabase) {
    let (log, metrics) = log_with_metrics(&db).await;
    log.record_later(event(0));
    // The writer runs on this thread.
    std::thread::sleep(Duration::from_millis(500));
    log.record(event(1)).await.unwrap();
    let seconds = value(&metrics, "claviger_audit_write_duration_seconds_sum");
    assert!(seconds >= 0.5, "{seconds}");
}
