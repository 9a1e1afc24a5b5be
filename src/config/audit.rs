//! `audit`: the audit log.

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
