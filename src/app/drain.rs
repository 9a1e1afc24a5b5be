//! Shutdown of a replica: it stops issuing, and serves redemptions until it can stop without losing tickets.

use crate::broker::Broker;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Interval of the checks whether the process can stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Stops issuing, and waits until the process can stop without losing tickets, for at most `limit`. With tickets in
/// memory, it waits until the last one is redeemed or has expired. With tickets in the database, which other replicas can
/// redeem, it waits until the requests in progress have ended.
pub async fn wait_until_drained(broker: &Broker, limit: Duration) {
    broker.drain();
    let deadline = Instant::now() + limit;
    tracing::info!(waiting = broker.lost_on_exit(), "draining; no more tickets are issued");
    while !broker.is_drained() && Instant::now() < deadline {
        sleep(POLL_INTERVAL).await;
    }
}
