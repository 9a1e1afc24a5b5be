//! Shutdown of a replica: it stops issuing, and serves redemptions until no tickets are left.

use crate::broker::Broker;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until stopping the process loses nothing, for at most `limit`. Tickets in memory: until the last one is
/// redeemed or expired. Tickets in the database, which other replicas can redeem: until requests in progress have
/// ended.
pub async fn wait_until_drained(broker: &Broker, limit: Duration) {
    broker.drain();
    let last = Instant::now() + limit;
    tracing::info!(waiting = broker.lost_on_exit(), "draining; no more tickets are issued");
    while !broker.is_drained() && Instant::now() < last {
        sleep(POLL_INTERVAL).await;
    }
}
