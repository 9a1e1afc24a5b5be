//! `database`: where audit events, policies and tickets are stored.

use super::check::Check;
use super::postgres_url::PostgresUrl;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

const KEY_FILE_AT: &str = "/database/keyFile";

/// The checked section.
#[derive(Debug, Clone)]
pub struct Database {
    /// The kind of database and its address.
    pub url: Url,
    /// The file with the 32-byte root key in base64. `None`: created beside an SQLite file at start, or held in
    /// memory only. Required with PostgreSQL, because replicas share nothing else.
    pub key_file: Option<PathBuf>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// `sqlite::memory:`: lost when the process ends.
    SqliteMemory,
    /// `sqlite:///path`.
    SqliteFile(PathBuf),
    /// `postgres://...`.
    Postgres(PostgresUrl),
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteMemory => f.write_str("sqlite::memory:"),
            Self::SqliteFile(path) => write!(f, "{}", path.display()),
            // The URL may hold a password.
            Self::Postgres(_) => f.write_str("postgres"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawDatabase {
    url: Option<String>,
    key_file: Option<String>,
}

impl RawDatabase {
    pub(super) fn check(self, check: &mut Check) -> Option<Database> {
        let url = url(check, self.url);
        if matches!(url, Some(Url::Postgres(_))) && self.key_file.is_none() {
            check.fault(KEY_FILE_AT, "must be set where the database is PostgreSQL: all replicas share it");
        }
        let key_file = check.file_if_set(KEY_FILE_AT, self.key_file);
        Some(Database { url: url?, key_file })
    }
}

fn url(check: &mut Check, value: Option<String>) -> Option<Url> {
    const AT: &str = "/database/url";
    let url = check.text(AT, value)?;
    if url == "sqlite::memory:" {
        return Some(Url::SqliteMemory);
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return check.noted(AT, PostgresUrl::new(url)).map(Url::Postgres);
    }
    let Some(path) = url.strip_prefix("sqlite://").filter(|path| !path.is_empty()) else {
        check.fault(AT, "must be sqlite::memory:, sqlite:///absolute/path, sqlite://relative/path or postgres://...");
        return None;
    };
    // SQLite's own URLs decode percent signs and have options; here the path is used byte by byte.
    if path.contains(['?', '#', '%']) {
        check.fault(AT, "must be a path without ?, # and %");
        return None;
    }
    let path = check.path(AT, Some(path.to_owned()))?;
    // The file is created at start, its folder is not.
    if path.is_dir() || !path.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
        check.fault(AT, "must be a file in a directory that is there");
        return None;
    }
    Some(Url::SqliteFile(path))
}
