//! `policies`: where policies come from and what none may leave.

use std::path::PathBuf;
use std::sync::Arc;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Policies {
    /// A directory of YAML policies, re-read on change.
    pub directory: Option<PathBuf>,
    /// Where not empty, the only secrets that any policy may reach.
    pub ceiling: Vec<CeilingEntry>,
}

/// One entry of the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingEntry {
    /// The store.
    pub store: Arc<str>,
    /// Leading segments of the paths allowed there, without slashes at either end; empty allows the whole store.
    pub path_prefix: String,
}
