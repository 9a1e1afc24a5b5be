//! `audit`: the audit log.

use super::fault_collector::{DAY, FaultCollector, HOUR};
use super::size::{MIB, TIB, UnparsedSize};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The validated section.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether events are also written to stdout.
    pub stdout: bool,
    /// How long events are kept.
    pub retention: Duration,
    /// Maximum size of the log in bytes. `None`: unlimited.
    pub max_size: Option<u64>,
    /// The file with the HMAC key of the chain. `None`: the chain uses SHA-256 without a key.
    pub key_file: Option<PathBuf>,
    /// Files with the keys of earlier chains, used only for verification.
    pub retired_key_files: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAudit {
    stdout: Option<bool>,
    retention: Option<String>,
    max_size: Option<UnparsedSize>,
    key_file: Option<String>,
    retired_key_files: Option<Vec<Option<String>>>,
}

impl RawAudit {
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Audit> {
        let stdout = faults.require("/audit/stdout", self.stdout);
        let retention = faults.require_duration("/audit/retention", self.retention, HOUR..=DAY * 3650);
        let max_size = self.max_size.map(|size| faults.require_size("/audit/maxSize", Some(size), MIB..=1024 * TIB));
        let key_file = faults.optional_file("/audit/keyFile", self.key_file);
        let retired_key_files =
            faults.validate_each("/audit/retiredKeyFiles", self.retired_key_files, |file, pointer, faults| {
                faults.require_file(pointer, Some(file))
            });
        Some(Audit {
            stdout: stdout?,
            retention: retention?,
            max_size: max_size.unwrap_or_default(),
            key_file,
            retired_key_files,
        })
    }
}
