//! `audit`: the audit log.

use super::check::{Check, DAY, HOUR};
use super::size::{MIB, Size, TIB};
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
    /// Maximum size of the log in bytes; unlimited without.
    pub max_size: Option<u64>,
    /// The HMAC key of the chain; plain SHA-256 without.
    pub key_file: Option<PathBuf>,
    /// Keys of earlier chains, used for verification only.
    pub retired_key_files: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAudit {
    stdout: Option<bool>,
    retention: Option<String>,
    max_size: Option<Size>,
    key_file: Option<String>,
    retired_key_files: Vec<String>,
}

impl RawAudit {
    pub(super) fn check(self, check: &mut Check) -> Option<Audit> {
        let stdout = check.required("/audit/stdout", self.stdout);
        let retention = check.duration("/audit/retention", self.retention, HOUR..=DAY * 3650);
        let max_size = self.max_size.map(|size| check.size("/audit/maxSize", Some(size), MIB..=1024 * TIB));
        let key_file = check.file_if_set("/audit/keyFile", self.key_file);
        let retired = self.retired_key_files.into_iter().enumerate();
        let retired_key_files =
            retired.filter_map(|(at, file)| check.file(&format!("/audit/retiredKeyFiles/{at}"), Some(file))).collect();
        Some(Audit {
            stdout: stdout?,
            retention: retention?,
            max_size: max_size.unwrap_or_default(),
            key_file,
            retired_key_files,
        })
    }
}
