//! `database`: where audit events rest.

use std::path::PathBuf;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Database {
    /// What database it is.
    pub url: Url,
    /// The file with our 32 byte key, base64. `None`: made beside an SQLite file at start, or held in memory only.
    pub key_file: Option<PathBuf>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// `sqlite::memory:`: gone with the process.
    SqliteMemory,
    /// `sqlite:///path`.
    SqliteFile(PathBuf),
}
