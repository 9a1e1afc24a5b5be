//! `cache` of a store: how long its answers are kept.

use super::check::{Check, DAY, HOUR, NOTHING};
use serde::Deserialize;
use std::time::Duration;

/// Bounds of the lease cache.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// How long a secret is served without asking again.
    pub ttl: Duration,
    /// How long an absence is.
    pub negative_ttl: Duration,
    /// How long after `ttl` a secret may still be served while the store cannot be reached.
    pub serve_stale_for: Duration,
    /// The most entries kept, and the most KiB: a larger entry counts as several.
    pub max_entries: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawCache {
    ttl: Option<String>,
    negative_ttl: Option<String>,
    serve_stale_for: Option<String>,
    max_entries: Option<u64>,
}

impl RawCache {
    pub(super) fn check(self, at: &str, check: &mut Check) -> Option<Cache> {
        let ttl = check.duration(&format!("{at}/ttl"), self.ttl, NOTHING..=DAY);
        let negative_ttl = check.duration(&format!("{at}/negativeTtl"), self.negative_ttl, NOTHING..=HOUR);
        let serve_stale_for = check.duration(&format!("{at}/serveStaleFor"), self.serve_stale_for, NOTHING..=DAY * 7);
        let max_entries = check.number(&format!("{at}/maxEntries"), self.max_entries, 1..=10_000_000);
        Some(Cache {
            ttl: ttl?,
            negative_ttl: negative_ttl?,
            serve_stale_for: serve_stale_for?,
            max_entries: max_entries?,
        })
    }
}
