//! `cache` of a store: how long its secrets are cached.

use super::fault_collector::{DAY, FaultCollector, HOUR, ZERO};
use serde::Deserialize;
use std::time::Duration;

/// The validated section.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// How long a secret is served without a new read.
    pub ttl: Duration,
    /// How long the absence of a secret is cached.
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
    pub(super) fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<Cache> {
        let ttl = faults.require_duration(&format!("{pointer}/ttl"), self.ttl, ZERO..=DAY);
        let negative_ttl = faults.require_duration(&format!("{pointer}/negativeTtl"), self.negative_ttl, ZERO..=HOUR);
        let serve_stale_for =
            faults.require_duration(&format!("{pointer}/serveStaleFor"), self.serve_stale_for, ZERO..=DAY * 7);
        let max_entries = faults.require_number(&format!("{pointer}/maxEntries"), self.max_entries, 1..=10_000_000);
        Some(Cache {
            ttl: ttl?,
            negative_ttl: negative_ttl?,
            serve_stale_for: serve_stale_for?,
            max_entries: max_entries?,
        })
    }
}
