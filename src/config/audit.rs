//! `audit`: the audit log.

use super::check::{Check, DAY, HOUR};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether events are also written to stdout.
    pub stdout: bool,
    /// How long events are kept.
    pub retention: Duration,
    /// The chain's HMAC key; plain SHA-256 without.
    pub key_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAudit {
    stdout: Option<bool>,
    retention: Option<String>,
    key_file: Option<String>,
}

impl RawAudit {
    pub(super) fn check(self, check: &mut Check) -> Option<Audit> {
        let stdout = check.required("/audit/stdout", self.stdout);
        let retention = check.duration("/audit/retention", self.retention, HOUR..=DAY * 3650);
        let key_file = check.file_if_set("/audit/keyFile", self.key_file);
        Some(Audit { stdout: stdout?, retention: retention?, key_file })
    }
}
