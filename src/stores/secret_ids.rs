//! The IDs and times of cached secrets in the lists of administrators.

use super::leases::{LeaseState, LeaseView};
use super::store_path::StorePath;
use crate::model::clock::format_time;
use crate::sealing::digest::{MacKey, to_hex, truncate};
use crate::sealing::keys::{Purpose, RootKey};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// Derives the IDs of cached secrets from their paths, and wall-clock times from monotonic ones.
pub(super) struct SecretIds {
    /// An ID is a MAC under this key, so it reveals nothing of the path.
    key: MacKey,
    /// The start of the process by both clocks. With it, the same read always gets the same wall-clock time.
    started: (Instant, Timestamp),
}

impl SecretIds {
    pub(super) fn new(database_key: &RootKey, now: Timestamp) -> Self {
        let key = MacKey::new(database_key.derive(Purpose::SecretIds).as_bytes());
        Self { key, started: (Instant::now(), now) }
    }

    /// The ID of a secret, which is the same on every replica.
    fn id(&self, store: &str, path: &StorePath) -> String {
        let mut digest = self.key.parts_hasher();
        digest.add(store.as_bytes());
        digest.add(path.as_str().as_bytes());
        to_hex(&truncate::<16>(&digest.finish()))
    }

    fn wall_time(&self, instant: Instant) -> Timestamp {
        let (start, start_time) = self.started;
        let elapsed = instant.checked_duration_since(start).unwrap_or(Duration::ZERO);
        start_time.checked_add(SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::ZERO)).unwrap_or(start_time)
    }

    /// How a cached secret is listed.
    pub(super) fn view(&self, store: &str, path: &StorePath, read_at: Instant, ttl: Duration) -> LeaseView {
        LeaseView {
            id: self.id(store, path),
            store: store.to_owned(),
            path: path.as_str().to_owned(),
            is_dynamic: false,
            acquired_at: format_time(self.wall_time(read_at)),
            expires_at: format_time(self.wall_time(read_at + ttl)),
            renewable: false,
            stale: read_at.elapsed() >= ttl,
            held_by: None,
            state: LeaseState::Active,
        }
    }
}
