//! What the cache keeps of one path: a sealed lease or an absence, how old it is, and what it weighs.

use super::sealed::{Sealed, Sealer};
use crate::config::cache::Cache as Bounds;
use crate::model::lease::Lease;
use crate::sealing::random::jitter;
use crate::stores::path::StorePath;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// What counts as one entry of `maxEntries`; a larger one counts as several, so that the entries bound the bytes.
const SHARE_BYTES: usize = 1024;
/// What an entry takes beside its path and its sealed lease (measured: see `benches/lease_cache.rs`).
const OVERHEAD_BYTES: usize = 512;

/// What the store said of a path.
enum Said {
    /// There is a secret.
    Lease(Sealed),
    /// There is none.
    Absent,
}

/// What the store said, and when.
pub(super) struct Entry {
    said: Said,
    read_at: Instant,
    /// When a read of it starts another one in the background.
    refresh_at: Instant,
    /// Whether one did: one attempt is made, so that a store in trouble is not asked at every hit.
    refreshed: AtomicBool,
}

/// What an entry has to offer now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A lease, and whether it is time to read it again.
    Lease(Lease, bool),
    /// There is no such secret.
    Absent,
}

impl Entry {
    /// A lease; none where it cannot be sealed.
    pub(super) fn of_lease(
        sealer: &Sealer,
        path: &StorePath,
        lease: &Lease,
        read_at: Instant,
        bounds: &Bounds,
    ) -> Option<Self> {
        // In its last fifth, not at the same moment for all that were read together.
        let share = jitter(0.75..0.85);
        let refresh_at = read_at + bounds.ttl.mul_f64(share);
        let said = Said::Lease(sealer.seal(path, lease)?);
        Some(Self { said, read_at, refresh_at, refreshed: AtomicBool::new(false) })
    }

    /// An absence.
    pub(super) const fn of_absence(read_at: Instant) -> Self {
        Self { said: Said::Absent, read_at, refresh_at: read_at, refreshed: AtomicBool::new(true) }
    }

    /// Whether it holds a lease.
    pub(super) const fn is_lease(&self) -> bool {
        matches!(self.said, Said::Lease(_))
    }

    /// What it says, while it is young enough.
    pub(super) fn fresh(&self, sealer: &Sealer, path: &StorePath, bounds: &Bounds) -> Option<Offer> {
        let age = self.read_at.elapsed();
        match &self.said {
            Said::Lease(sealed) if age < bounds.ttl => {
                let due = self.refresh_at <= Instant::now() && !self.refreshed.swap(true, Ordering::Relaxed);
                Some(Offer::Lease(sealer.open(path, sealed)?, due))
            }
            Said::Absent if age < bounds.negative_ttl => Some(Offer::Absent),
            _ => None,
        }
    }

    /// Its lease, marked stale, where it is within its bound. An old absence is never served: it may be over.
    pub(super) fn stale(&self, sealer: &Sealer, path: &StorePath, bounds: &Bounds) -> Option<Lease> {
        let Said::Lease(sealed) = &self.said else { return None };
        if self.read_at.elapsed() >= bounds.ttl.saturating_add(bounds.serve_stale_for) {
            return None;
        }
        Some(Lease { stale: true, ..sealer.open(path, sealed)? })
    }

    /// When its lease was read, where it has one that may still be served.
    pub(super) fn servable_since(&self, bounds: &Bounds) -> Option<Instant> {
        let servable = self.is_lease() && self.read_at.elapsed() < bounds.ttl.saturating_add(bounds.serve_stale_for);
        servable.then_some(self.read_at)
    }

    /// How many shares of the cache it takes.
    pub(super) fn shares(&self, path: &StorePath) -> u32 {
        let sealed = if let Said::Lease(sealed) = &self.said { sealed.len() } else { 0 };
        let bytes = OVERHEAD_BYTES + path.as_str().len() + sealed;
        u32::try_from(bytes.div_ceil(SHARE_BYTES)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;
    use std::time::Duration;

    const BOUNDS: Bounds = Bounds {
        ttl: Duration::from_secs(100),
        negative_ttl: Duration::ZERO,
        serve_stale_for: Duration::ZERO,
        max_entries: 1,
    };

    fn entry(sealer: &Sealer, path: &StorePath, value: &str) -> Entry {
        let data = [("K".into(), Some(SecretValue::new(value.into())))].into();
        let lease = Lease { data, version: None, stale: false };
        Entry::of_lease(sealer, path, &lease, Instant::now(), &BOUNDS).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn leases_read_at_the_same_moment_are_not_read_again_at_the_same_moment() {
        let (sealer, path) = (Sealer::new().unwrap(), StorePath::try_from("a").unwrap());
        let entries: Vec<_> = (0..100).map(|_| entry(&sealer, &path, "v")).collect();
        let due = || {
            let offers = entries.iter().map(|entry| entry.fresh(&sealer, &path, &BOUNDS));
            offers.filter(|offer| matches!(offer, Some(Offer::Lease(_, true)))).count()
        };
        tokio::time::advance(Duration::from_secs(74)).await;
        assert_eq!(due(), 0);
        tokio::time::advance(Duration::from_secs(6)).await;
        let first = due();
        assert!((10..90).contains(&first), "{first} at once");
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(due(), 100 - first, "each is due once");
    }

    #[test]
    fn an_entry_weighs_what_it_takes() {
        let (sealer, path) = (Sealer::new().unwrap(), StorePath::try_from("a").unwrap());
        for (length, shares) in [(0, 1), (200, 1), (600, 2), (2000, 3), (4_000_000, 3907)] {
            assert_eq!(entry(&sealer, &path, &"x".repeat(length)).shares(&path), shares, "{length}");
        }
        assert_eq!(Entry::of_absence(Instant::now()).shares(&path), 1);
    }
}
