//! Limits the number of connections, in total and, when most are in use, for each address.
//!
//! Before that, an address has no limit of its own, because many builds share one behind a proxy or NAT.

use crate::model::ipv6_prefix::ipv6_prefix;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Share of all connections above which an address has a limit: three quarters.
const LIMITED_ABOVE: (usize, usize) = (3, 4);
/// Share of all connections that one address may hold then: an eighth.
const ADDRESS_SHARE: (usize, usize) = (1, 8);
/// Minimum number of connections that each address may have.
const MIN_ADDRESS_SHARE: usize = 100;

/// The connections in use, in all and by address.
pub struct ConnectionLimit {
    size: usize,
    free: Arc<Semaphore>,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's slot, free again when it is dropped.
pub struct Slot {
    limit: Arc<ConnectionLimit>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, free: Arc::new(Semaphore::new(size)), held: Mutex::default() })
    }

    /// Waits until one more connection may be accepted.
    pub async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Turns a permit into a slot; `None` if most connections are taken and the address has its share, unless it is a proxy.
    pub fn admit(self: &Arc<Self>, permit: OwnedSemaphorePermit, peer: IpAddr, is_proxy: bool) -> Option<Slot> {
        let address = ipv6_prefix(peer);
        let taken = self.size - self.free.available_permits();
        let mut held = self.held();
        let count = held.entry(address).or_default();
        // An address without a connection is always admitted, so no entry of zero stays behind.
        if !is_proxy
            && taken > part(self.size, LIMITED_ABOVE)
            && *count >= part(self.size, ADDRESS_SHARE).max(MIN_ADDRESS_SHARE)
        {
            return None;
        }
        *count += 1;
        Some(Slot { limit: self.clone(), address, _permit: permit })
    }

    /// Waits until all connections have ended.
    pub async fn empty(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.limit.held();
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

const fn part(whole: usize, (numerator, denominator): (usize, usize)) -> usize {
    whole * numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admit(limit: &Arc<ConnectionLimit>, peer: &str) -> Option<Slot> {
        let permit = limit.wait().await.expect("open");
        limit.admit(permit, peer.parse().expect("an address"), peer == "192.0.2.99")
    }

    #[tokio::test]
    async fn one_address_gets_no_more_than_its_share_once_most_connections_are_taken() {
        let limit = ConnectionLimit::new(800);
        let mut slots = Vec::new();
        while let Some(slot) = admit(&limit, "192.0.2.1").await {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 600);
        // The refused connection took no slot: other addresses get the rest.
        for number in 0..200 {
            let slot = admit(&limit, &format!("198.51.100.{number}")).await;
            slots.push(slot.expect("another address has not had its share"));
        }
        assert_eq!(limit.free.available_permits(), 0);
        // A proxy can use all connections.
        slots.clear();
        for _ in 0..800 {
            slots.push(admit(&limit, "192.0.2.99").await.expect("there is room"));
        }
        slots.clear();
        assert!(limit.held().is_empty(), "no entry stays behind");
        assert!(admit(&limit, "192.0.2.1").await.is_some());
        limit.empty().await;
    }
}
