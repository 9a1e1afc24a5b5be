//! `cache` of a store: how long its answers are cached.

use super::check::{Check, DAY, HOUR, NOTHING};
use serde::Deserialize;
use std::time::Duration;

/// Bounds of a store's cache.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// How long a secret is served without a new read.
    pub ttl: Duration,
    /// How long a missing secret is remembered.
    pub negative_ttl: Duration,
    /// How long after `ttl` a secret may still be served while the store is unreachable.
    pub serve_stale_for: Duration,
    /// Maximum number of entries. An entry larger than 1 KiB counts as several, one for each KiB.
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
