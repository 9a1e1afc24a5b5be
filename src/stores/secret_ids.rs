//! IDs and times of cached secrets for administrators.

use super::leases::{LeaseState, LeaseView};
use super::path::StorePath;
use crate::sealing::digest::{MacKey, to_hex, truncate};
use crate::sealing::keys::{Purpose, RootKey};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// Derives the IDs of cached secrets, and the times when they were read.
pub(super) struct SecretIds {
    /// Keyed, so an id reveals nothing of the path.
    key: MacKey,
    /// The same moment by both clocks. The time of a read is computed from the monotonic clock, so it never changes.
    started: (Instant, Timestamp),
}

impl SecretIds {
    pub(super) fn new(database_key: &RootKey, now: Timestamp) -> Self {
        let key = MacKey::new(database_key.derive(Purpose::SecretIds).as_bytes());
        Self { key, started: (Instant::now(), now) }
    }

    /// The same on every replica.
    fn id(&self, store: &str, path: &StorePath) -> String {
        let mut digest = self.key.parts_hasher();
        digest.add(store.as_bytes());
        digest.add(path.as_str().as_bytes());
        to_hex(&truncate::<16>(&digest.finish()))
    }

    fn time(&self, at: Instant) -> Timestamp {
        let (instant, time) = self.started;
        let since = at.checked_duration_since(instant).unwrap_or(Duration::ZERO);
        time.checked_add(SignedDuration::try_from(since).unwrap_or(SignedDuration::ZERO)).unwrap_or(time)
    }

    pub(super) fn view(&self, store: &str, path: &StorePath, read_at: Instant, ttl: Duration) -> LeaseView {
        let text = |time: Timestamp| format!("{time:.6}");
        LeaseView {
            id: self.id(store, path),
            store: store.to_owned(),
            path: path.as_str().to_owned(),
            is_dynamic: false,
            acquired_at: text(self.time(read_at)),
            expires_at: text(self.time(read_at + ttl)),
            renewable: false,
            stale: read_at.elapsed() >= ttl,
            held_by: None,
            state: LeaseState::Active,
        }
    }
}
