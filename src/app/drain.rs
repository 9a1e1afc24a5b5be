//! The end of a replica: issuing stops, redeeming goes on until nothing waits.

use crate::broker::Broker;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often is looked whether something still waits.
const GLANCE: Duration = Duration::from_millis(100);

/// Waits until the last ticket is redeemed or expired. Every ticket expires within `max_ttl`, so this ends.
pub async fn until_nothing_waits(broker: &Broker, max_ttl: Duration) {
    broker.drain();
    let last = Instant::now() + max_ttl + Duration::from_secs(5);
    tracing::info!(waiting = broker.waiting(), "draining: no more tickets are issued");
    while !broker.is_drained() && Instant::now() < last {
        sleep(GLANCE).await;
    }
}
