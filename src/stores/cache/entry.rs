//! A cache entry: a sealed secret or an absence, its age and its weight.

use super::sealed::{SealedSecret, Sealer};
use crate::config::cache::Cache as Bounds;
use crate::model::secret::Secret;
use crate::sealing::random::jitter;
use crate::stores::path::StorePath;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// The size of one entry of `maxEntries`. A larger one counts as several, so the number of entries bounds the bytes.
const SHARE_BYTES: usize = 1024;
/// The size of an entry without its path and its sealed secret (measured: see `benches/lease_cache.rs`).
const OVERHEAD_BYTES: usize = 512;

/// The result of the read.
enum Content {
    /// A secret.
    Secret(SealedSecret),
    /// No such secret.
    Absent,
}

/// The result of a read, and its time.
pub(super) struct CacheEntry {
    content: Content,
    read_at: Instant,
    /// A read after this time starts a refresh.
    refresh_at: Instant,
    /// Whether one was started. There is one attempt, so a failing store is not asked at every hit.
    refreshed: AtomicBool,
}

/// The fresh content of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FreshContent {
    /// A secret, and whether to refresh it.
    Secret(Secret, bool),
    /// There is no such secret.
    Absent,
}

impl CacheEntry {
    /// A secret; `None` if it cannot be sealed.
    pub(super) fn from_secret(
        sealer: &Sealer,
        path: &StorePath,
        secret: &Secret,
        read_at: Instant,
        bounds: &Bounds,
    ) -> Option<Self> {
        // At random, so that secrets read together are not refreshed together.
        let share = jitter(0.75..0.85);
        let refresh_at = read_at + bounds.ttl.mul_f64(share);
        let content = Content::Secret(sealer.seal(path, secret)?);
        Some(Self { content, read_at, refresh_at, refreshed: AtomicBool::new(false) })
    }

    /// An absence.
    pub(super) const fn absence(read_at: Instant) -> Self {
        Self { content: Content::Absent, read_at, refresh_at: read_at, refreshed: AtomicBool::new(true) }
    }

    /// Whether it holds a secret.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.content, Content::Secret(_))
    }

    /// Its content, while it is fresh.
    pub(super) fn fresh(&self, sealer: &Sealer, path: &StorePath, bounds: &Bounds) -> Option<FreshContent> {
        let age = self.read_at.elapsed();
        match &self.content {
            Content::Secret(sealed) if age < bounds.ttl => {
                let due = self.refresh_at <= Instant::now() && !self.refreshed.swap(true, Ordering::Relaxed);
                Some(FreshContent::Secret(sealer.open(path, sealed)?, due))
            }
            Content::Absent if age < bounds.negative_ttl => Some(FreshContent::Absent),
            _ => None,
        }
    }

    /// Its secret, marked stale, within `serveStaleFor`. An expired absence is never served.
    pub(super) fn stale(&self, sealer: &Sealer, path: &StorePath, bounds: &Bounds) -> Option<Secret> {
        let Content::Secret(sealed) = &self.content else { return None };
        if self.read_at.elapsed() >= bounds.ttl.saturating_add(bounds.serve_stale_for) {
            return None;
        }
        Some(Secret { stale: true, ..sealer.open(path, sealed)? })
    }

    /// When its secret was read, if it may still be served.
    pub(super) fn servable_since(&self, bounds: &Bounds) -> Option<Instant> {
        let servable = self.is_secret() && self.read_at.elapsed() < bounds.ttl.saturating_add(bounds.serve_stale_for);
        servable.then_some(self.read_at)
    }

    /// Its weight in entries of `maxEntries`.
    pub(super) fn shares(&self, path: &StorePath) -> u32 {
        let sealed = if let Content::Secret(sealed) = &self.content { sealed.len() } else { 0 };
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

    fn entry(sealer: &Sealer, path: &StorePath, value: &str) -> CacheEntry {
        let data = [("K".into(), Some(SecretValue::new(value.into())))].into();
        let secret = Secret { data, version: None, created_at: None, stale: false };
        CacheEntry::from_secret(sealer, path, &secret, Instant::now(), &BOUNDS).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn secrets_read_together_are_not_refreshed_together() {
        let (sealer, path) = (Sealer::new().unwrap(), StorePath::try_from("a").unwrap());
        let entries: Vec<_> = (0..100).map(|_| entry(&sealer, &path, "v")).collect();
        let due = || {
            let offers = entries.iter().map(|entry| entry.fresh(&sealer, &path, &BOUNDS));
            offers.filter(|offer| matches!(offer, Some(FreshContent::Secret(_, true)))).count()
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
    fn the_weight_of_an_entry_grows_with_its_size() {
        let (sealer, path) = (Sealer::new().unwrap(), StorePath::try_from("a").unwrap());
        for (length, shares) in [(0, 1), (200, 1), (600, 2), (2000, 3), (4_000_000, 3907)] {
            assert_eq!(entry(&sealer, &path, &"x".repeat(length)).shares(&path), shares, "{length}");
        }
        assert_eq!(CacheEntry::absence(Instant::now()).shares(&path), 1);
    }
}
