//! Limits the number of connections in total and, once most of them are in use, for each address.
//!
//! Until then an address has no limit, because behind a proxy or NAT many builds share one address.

use crate::model::ipv6_prefix::ipv6_prefix;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Fraction of all connections above which the limit for an address applies: three quarters.
const LIMITED_ABOVE: (usize, usize) = (3, 4);
/// Fraction of all connections that one address may then use: an eighth.
const ADDRESS_SHARE: (usize, usize) = (1, 8);
/// Minimum of the limit for an address.
const MIN_ADDRESS_LIMIT: usize = 100;

/// Counts the connections in use, in total and by address.
pub struct ConnectionLimit {
    max_connections: usize,
    free: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A counted connection. Dropping it ends the count.
pub struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    pub fn new(max_connections: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(max_connections));
        Arc::new(Self { max_connections, free, by_address: Mutex::default() })
    }

    /// Waits until another connection may be accepted. `None` does not occur, because the semaphore is never closed.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Counts an accepted connection. `None` if the limit for its address is reached. A proxy has no such limit.
    pub fn admit(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        peer: IpAddr,
        is_proxy: bool,
    ) -> Option<ConnectionSlot> {
        let address = ipv6_prefix(peer);
        let in_use = self.max_connections - self.free.available_permits();
        let mut by_address = self.lock();
        let count = by_address.entry(address).or_default();
        // An address without connections is always admitted, so no entry with a count of 0 remains.
        if !is_proxy
            && in_use > fraction_of(self.max_connections, LIMITED_ABOVE)
            && *count >= fraction_of(self.max_connections, ADDRESS_SHARE).max(MIN_ADDRESS_LIMIT)
        {
            return None;
        }
        *count += 1;
        Some(ConnectionSlot { limit: self.clone(), address, _permit: permit })
    }

    /// Waits until all connections have ended.
    pub async fn wait_until_empty(&self) {
        let all = u32::try_from(self.max_connections).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut by_address = self.limit.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

const fn fraction_of(whole: usize, (numerator, denominator): (usize, usize)) -> usize {
    whole * numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admit(limit: &Arc<ConnectionLimit>, peer: &str) -> Option<ConnectionSlot> {
        let permit = limit.acquire().await.expect("open");
        limit.admit(permit, peer.parse().expect("an address"), peer == "192.0.2.99")
    }

    #[tokio::test]
    async fn above_three_quarters_an_address_is_limited_to_an_eighth() {
        let limit = ConnectionLimit::new(800);
        let mut slots = Vec::new();
        while let Some(slot) = admit(&limit, "192.0.2.1").await {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 600);
        // The refused connection is not counted: other addresses get the rest.
        for number in 0..200 {
            let slot = admit(&limit, &format!("198.51.100.{number}")).await;
            slots.push(slot.expect("another address is below its limit"));
        }
        assert_eq!(limit.free.available_permits(), 0);
        // A proxy can use all connections.
        slots.clear();
        for _ in 0..800 {
            slots.push(admit(&limit, "192.0.2.99").await.expect("a free slot"));
        }
        slots.clear();
        assert!(limit.lock().is_empty(), "no entry remains");
        assert!(admit(&limit, "192.0.2.1").await.is_some());
        limit.wait_until_empty().await;
    }
}
