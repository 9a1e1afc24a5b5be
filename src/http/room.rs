//! Room for connections: so many at once, and when it gets tight, no address takes more than a share of it.
//!
//! There is no cap for an address while there is room: behind a proxy or NAT, many builds have one.

use crate::model::ipv6_prefix::ipv6_prefix;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all connections, what may be taken before it is tight: three quarters.
const TIGHT: (usize, usize) = (3, 4);
/// Of all connections, what one address may hold when it is tight: an eighth.
const SHARE: (usize, usize) = (1, 8);
/// What any address may hold: where there is room for few, there is nothing to share.
const SMALLEST_SHARE: usize = 100;

/// The connections there may be.
pub struct Room {
    size: usize,
    free: Arc<Semaphore>,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place, free again when it is dropped.
pub struct Place {
    room: Arc<Room>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// For so many at once.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, free: Arc::new(Semaphore::new(size)), held: Mutex::default() })
    }

    /// Waits until there is room for one more, whoever comes.
    pub async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Gives the room that was waited for to a connection; none where it is tight and its address has its share, unless
    /// that is one of many.
    pub fn enter(self: &Arc<Self>, permit: OwnedSemaphorePermit, peer: IpAddr, is_proxy: bool) -> Option<Place> {
        let address = ipv6_prefix(peer);
        let taken = self.size - self.free.available_permits();
        let mut held = self.held();
        let count = held.entry(address).or_default();
        // Whoever has none yet always comes in, so nothing is left behind here.
        if !is_proxy && taken > part(self.size, TIGHT) && *count >= part(self.size, SHARE).max(SMALLEST_SHARE) {
            return None;
        }
        *count += 1;
        Some(Place { room: self.clone(), address, _permit: permit })
    }

    /// Waits until nobody is left.
    pub async fn empty(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.room.held();
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

    async fn enter(room: &Arc<Room>, peer: &str) -> Option<Place> {
        let permit = room.wait().await.expect("open");
        room.enter(permit, peer.parse().expect("an address"), peer == "192.0.2.99")
    }

    #[tokio::test]
    async fn one_address_gets_what_it_wants_while_there_is_room_and_a_share_when_it_is_tight() {
        let room = Room::new(800);
        let mut places = Vec::new();
        while let Some(place) = enter(&room, "192.0.2.1").await {
            places.push(place);
        }
        assert_eq!(places.len(), 600);
        // The refused one has left its place to others, and they get what is left.
        for number in 0..200 {
            let place = enter(&room, &format!("198.51.100.{number}")).await;
            places.push(place.expect("another address has not had its share"));
        }
        assert_eq!(room.free.available_permits(), 0);
        // A proxy is many, and gets all of it.
        places.clear();
        for _ in 0..800 {
            places.push(enter(&room, "192.0.2.99").await.expect("there is room"));
        }
        places.clear();
        assert!(room.held().is_empty(), "nothing is kept of who has left");
        assert!(enter(&room, "192.0.2.1").await.is_some());
        room.empty().await;
    }
}
