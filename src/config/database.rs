//! `database`: where audit events, policies and tickets are stored.

use super::fault_collector::FaultCollector;
use super::postgres_url::PostgresUrl;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

const KEY_FILE_POINTER: &str = "/database/keyFile";
const URL_POINTER: &str = "/database/url";
const DIRECT_URL_POINTER: &str = "/database/directUrl";
const PASSWORD_FILE_POINTER: &str = "/database/passwordFile";
const DATA_LOSS_POINTER: &str = "/database/allowDataLoss";

/// The validated section.
#[derive(Debug, Clone)]
pub struct Database {
    /// The kind and address of the database.
    pub url: Url,
    /// The file with the 32-byte root key in base64. `None`: the key is created at start, beside an SQLite file or, with
    /// `sqlite::memory:`, only in memory. Required with PostgreSQL, because all replicas need the same key.
    pub key_file: Option<PathBuf>,
}

/// The address of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// `sqlite::memory:`. Its content is lost when the process ends.
    SqliteMemory,
    /// `sqlite:///path`.
    SqliteFile(PathBuf),
    /// `postgres://...`.
    Postgres(PostgresUrl),
}

impl Url {
    /// Whether a server that may lose acknowledged commits in a failover is accepted.
    #[must_use]
    pub const fn allows_data_loss(&self) -> bool {
        match self {
            Self::SqliteMemory | Self::SqliteFile(_) => false,
            Self::Postgres(url) => url.allows_data_loss(),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteMemory => f.write_str("sqlite::memory:"),
            Self::SqliteFile(path) => write!(f, "{}", path.display()),
            // The URL may contain a password.
            Self::Postgres(_) => f.write_str("postgres"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawDatabase {
    url: Option<String>,
    direct_url: Option<String>,
    password_file: Option<String>,
    key_file: Option<String>,
    allow_data_loss: Option<bool>,
}

impl RawDatabase {
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Database> {
        let allows_data_loss = self.allow_data_loss.unwrap_or_default();
        let url = validate_url(faults, self.url);
        let url = add_postgres_settings(faults, url, self.direct_url, self.password_file);
        let url = url.map(|url| match url {
            Url::Postgres(url) => Url::Postgres(url.allowing_data_loss(allows_data_loss)),
            sqlite => sqlite,
        });
        if allows_data_loss && matches!(url, Some(Url::SqliteMemory | Url::SqliteFile(_))) {
            faults.record(
                DATA_LOSS_POINTER,
                "is for PostgreSQL, which may have standbys: remove it, or name a PostgreSQL server in url",
            );
        }
        if matches!(url, Some(Url::Postgres(_))) && self.key_file.is_none() {
            faults.record(KEY_FILE_POINTER, "must be set where the database is PostgreSQL: all replicas share it");
        }
        let key_file = faults.optional_file(KEY_FILE_POINTER, self.key_file);
        Some(Database { url: url?, key_file })
    }
}

/// Adds the direct URL (of the server behind a pooler) and the password file, which only PostgreSQL has.
fn add_postgres_settings(
    faults: &mut FaultCollector,
    url: Option<Url>,
    direct: Option<String>,
    password: Option<String>,
) -> Option<Url> {
    let url = match url {
        Some(Url::Postgres(url)) => url,
        other => {
            for (pointer, _) in [(DIRECT_URL_POINTER, direct), (PASSWORD_FILE_POINTER, password)]
                .iter()
                .filter(|(_, value)| value.is_some())
            {
                faults.record(*pointer, "is for PostgreSQL: remove it, or write postgres://... into database.url");
            }
            return other;
        }
    };
    let direct = match direct {
        None => None,
        Some(direct) => Some(validate_postgres_url(faults, DIRECT_URL_POINTER, direct)?),
    };
    let has_password = url.has_password() || direct.as_ref().is_some_and(PostgresUrl::has_password);
    let url = match direct {
        None => url,
        Some(direct) => url.with_direct(direct),
    };
    let Some(file) = faults.optional_file(PASSWORD_FILE_POINTER, password) else { return Some(Url::Postgres(url)) };
    if has_password {
        faults.record(PASSWORD_FILE_POINTER, "is set, and a URL has a password too: remove one of them");
    }
    Some(Url::Postgres(url.with_password_file(file)))
}

fn validate_postgres_url(faults: &mut FaultCollector, pointer: &str, url: String) -> Option<PostgresUrl> {
    let url = faults.ok_or_record(pointer, PostgresUrl::new(url))?;
    for (name, file) in url.files() {
        if !file.is_file() {
            faults.record(pointer, format!("{name}: there is no such file"));
        }
    }
    Some(url)
}

fn validate_url(faults: &mut FaultCollector, value: Option<String>) -> Option<Url> {
    let url = faults.require_text(URL_POINTER, value)?;
    if url == "sqlite::memory:" {
        return Some(Url::SqliteMemory);
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return validate_postgres_url(faults, URL_POINTER, url).map(Url::Postgres);
    }
    let Some(path) = url.strip_prefix("sqlite://").filter(|path| !path.is_empty()) else {
        return faults.record_none(
            URL_POINTER,
            "must be sqlite::memory:, sqlite:///absolute/path, sqlite://relative/path or postgres://...",
        );
    };
    // In SQLite's URI filenames these characters have a meaning; here the path is used byte by byte.
    if path.contains(['?', '#', '%']) {
        return faults.record_none(URL_POINTER, "must be a path without ?, # and %");
    }
    let path = faults.require_path(URL_POINTER, Some(path.to_owned()))?;
    // The file is created at start, but not its folder.
    if path.is_dir() || !path.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
        return faults.record_none(URL_POINTER, "must be a file in a directory that exists");
    }
    Some(Url::SqliteFile(path))
}
