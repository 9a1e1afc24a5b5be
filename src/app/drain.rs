//! The end of a replica: issuing stops, redeeming goes on until nothing waits.

use crate::broker::Broker;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often is looked whether something still waits.
const GLANCE: Duration = Duration::from_millis(100);

/// Waits until nothing is lost with this process any more, for at most `limit`. Tickets in memory: until the last one is
/// redeemed or expired. Tickets in the database are redeemed by other replicas: until what is under way has ended.
pub async fn until_nothing_waits(broker: &Broker, limit: Duration) {
    broker.drain();
    let last = Instant::now() + limit;
    tracing::info!(waiting = broker.lost_with_the_process(), "draining; no more tickets are issued");
    while !broker.is_drained() && Instant::now() < last {
        sleep(GLANCE).await;
    }
}
