//! A cache entry: a sealed secret or an absence, its age and its weight.

use super::sealed::{SealedSecret, SecretSealer};
use crate::config::cache::Cache as CacheSettings;
use crate::model::secret::Secret;
use crate::sealing::random::jitter;
use crate::stores::store_path::StorePath;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// The size that counts as one of `maxEntries`. A larger entry counts as several, so `maxEntries` also limits the memory.
const BYTES_PER_UNIT: usize = 1024;
/// The size of an entry without its path and its sealed secret, measured with `benches/lease_cache.rs`.
const OVERHEAD_BYTES: usize = 512;

enum Content {
    Secret(SealedSecret),
    /// There is no such secret.
    Absent,
}

/// The result of a read, and its time.
pub(super) struct CacheEntry {
    content: Content,
    read_at: Instant,
    /// A read after this time starts a refresh.
    refresh_at: Instant,
    /// Whether a refresh was started. There is only one, so a failing store is not called at every hit.
    refresh_started: AtomicBool,
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
    /// An entry for a secret. `None` if it cannot be sealed.
    pub(super) fn from_secret(
        sealer: &SecretSealer,
        path: &StorePath,
        secret: &Secret,
        read_at: Instant,
        settings: &CacheSettings,
    ) -> Option<Self> {
        // Random, so that secrets that were read together are not refreshed together.
        let share = jitter(0.75..0.85);
        let refresh_at = read_at + settings.ttl.mul_f64(share);
        let content = Content::Secret(sealer.seal(path, secret)?);
        Some(Self { content, read_at, refresh_at, refresh_started: AtomicBool::new(false) })
    }

    /// An entry for a missing secret.
    pub(super) const fn absence(read_at: Instant) -> Self {
        Self { content: Content::Absent, read_at, refresh_at: read_at, refresh_started: AtomicBool::new(true) }
    }

    /// Whether it holds a secret.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.content, Content::Secret(_))
    }

    /// The content. `None` after it has expired.
    pub(super) fn fresh_content(
        &self,
        sealer: &SecretSealer,
        path: &StorePath,
        settings: &CacheSettings,
    ) -> Option<FreshContent> {
        let age = self.read_at.elapsed();
        match &self.content {
            Content::Secret(sealed) if age < settings.ttl => {
                let due = self.refresh_at <= Instant::now() && !self.refresh_started.swap(true, Ordering::Relaxed);
                Some(FreshContent::Secret(sealer.open(path, sealed)?, due))
            }
            Content::Absent if age < settings.negative_ttl => Some(FreshContent::Absent),
            _ => None,
        }
    }

    /// The secret, marked as stale. `None` after `serveStaleFor`, and for an absence, which is never served when expired.
    pub(super) fn stale_secret(
        &self,
        sealer: &SecretSealer,
        path: &StorePath,
        settings: &CacheSettings,
    ) -> Option<Secret> {
        let Content::Secret(sealed) = &self.content else { return None };
        if self.read_at.elapsed() >= settings.ttl.saturating_add(settings.serve_stale_for) {
            return None;
        }
        Some(Secret { stale: true, ..sealer.open(path, sealed)? })
    }

    /// When the secret was read. `None` if it must not be served any more.
    pub(super) fn servable_since(&self, settings: &CacheSettings) -> Option<Instant> {
        let servable =
            self.is_secret() && self.read_at.elapsed() < settings.ttl.saturating_add(settings.serve_stale_for);
        servable.then_some(self.read_at)
    }

    /// How many of `maxEntries` it counts as.
    pub(super) fn weight(&self, path: &StorePath) -> u32 {
        let sealed = if let Content::Secret(sealed) = &self.content { sealed.len() } else { 0 };
        let bytes = OVERHEAD_BYTES + path.as_str().len() + sealed;
        u32::try_from(bytes.div_ceil(BYTES_PER_UNIT)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;
    use std::time::Duration;

    const SETTINGS: CacheSettings = CacheSettings {
        ttl: Duration::from_secs(100),
        negative_ttl: Duration::ZERO,
        serve_stale_for: Duration::ZERO,
        max_entries: 1,
    };

    fn entry(sealer: &SecretSealer, path: &StorePath, value: &str) -> CacheEntry {
        let data = [("K".into(), Some(SecretValue::new(value.into())))].into();
        let secret = Secret { data, version: None, created_at: None, stale: false };
        CacheEntry::from_secret(sealer, path, &secret, Instant::now(), &SETTINGS).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn secrets_read_together_are_not_refreshed_together() {
        let (sealer, path) = (SecretSealer::new().unwrap(), StorePath::try_from("a").unwrap());
        let entries: Vec<_> = (0..100).map(|_| entry(&sealer, &path, "v")).collect();
        let due = || {
            let contents = entries.iter().map(|entry| entry.fresh_content(&sealer, &path, &SETTINGS));
            contents.filter(|content| matches!(content, Some(FreshContent::Secret(_, true)))).count()
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
        let (sealer, path) = (SecretSealer::new().unwrap(), StorePath::try_from("a").unwrap());
        for (length, weight) in [(0, 1), (200, 1), (600, 2), (2000, 3), (4_000_000, 3907)] {
            assert_eq!(entry(&sealer, &path, &"x".repeat(length)).weight(&path), weight, "{length}");
        }
        assert_eq!(CacheEntry::absence(Instant::now()).weight(&path), 1);
    }
}
