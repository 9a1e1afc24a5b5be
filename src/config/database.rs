//! `database`: where audit events, policies and tickets are stored.

use super::check::Check;
use super::postgres_url::PostgresUrl;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

const KEY_FILE_AT: &str = "/database/keyFile";
const URL_AT: &str = "/database/url";
const DIRECT_URL_AT: &str = "/database/directUrl";
const PASSWORD_FILE_AT: &str = "/database/passwordFile";
const DATA_LOSS_AT: &str = "/database/allowDataLoss";

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
            // The URL may hold a password.
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
    pub(super) fn check(self, check: &mut Check) -> Option<Database> {
        let allowed = self.allow_data_loss.unwrap_or_default();
        let url = url(check, self.url);
        let url = completed(check, url, self.direct_url, self.password_file);
        let url = url.map(|url| match url {
            Url::Postgres(url) => Url::Postgres(url.allowing_data_loss(allowed)),
            sqlite => sqlite,
        });
        if allowed && matches!(url, Some(Url::SqliteMemory | Url::SqliteFile(_))) {
            check.fault(
                DATA_LOSS_AT,
                "is for PostgreSQL, which may have standbys: remove it, or name a PostgreSQL server in url",
            );
        }
        if matches!(url, Some(Url::Postgres(_))) && self.key_file.is_none() {
            check.fault(KEY_FILE_AT, "must be set where the database is PostgreSQL: all replicas share it");
        }
        let key_file = check.file_if_set(KEY_FILE_AT, self.key_file);
        Some(Database { url: url?, key_file })
    }
}

/// Adds the direct URL and the password file, which are for PostgreSQL only.
fn completed(check: &mut Check, url: Option<Url>, direct: Option<String>, password: Option<String>) -> Option<Url> {
    let url = match url {
        Some(Url::Postgres(url)) => url,
        other => {
            for (at, _) in
                [(DIRECT_URL_AT, direct), (PASSWORD_FILE_AT, password)].iter().filter(|(_, value)| value.is_some())
            {
                check.fault(*at, "is for PostgreSQL: remove it, or write postgres://... into database.url");
            }
            return other;
        }
    };
    let direct = match direct {
        None => None,
        Some(direct) => Some(postgres(check, DIRECT_URL_AT, direct)?),
    };
    let has_password = url.has_password() || direct.as_ref().is_some_and(PostgresUrl::has_password);
    let url = match direct {
        None => url,
        Some(direct) => url.with_direct(direct),
    };
    let Some(file) = check.file_if_set(PASSWORD_FILE_AT, password) else { return Some(Url::Postgres(url)) };
    if has_password {
        check.fault(PASSWORD_FILE_AT, "is set and a URL has a password: remove one of them");
    }
    Some(Url::Postgres(url.with_password_file(file)))
}

fn postgres(check: &mut Check, at: &str, url: String) -> Option<PostgresUrl> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        check.fault(at, "must be a URL such as postgres://user:password@host:5432/database?sslmode=verify-full");
        return None;
    }
    let url = check.noted(at, PostgresUrl::new(url))?;
    for (name, file) in url.files() {
        if !file.is_file() {
            check.fault(at, format!("{name}: there is no such file"));
        }
    }
    Some(url)
}

fn url(check: &mut Check, value: Option<String>) -> Option<Url> {
    let url = check.text(URL_AT, value)?;
    if url == "sqlite::memory:" {
        return Some(Url::SqliteMemory);
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return postgres(check, URL_AT, url).map(Url::Postgres);
    }
    let Some(path) = url.strip_prefix("sqlite://").filter(|path| !path.is_empty()) else {
        check.fault(
            URL_AT,
            "must be sqlite::memory:, sqlite:///absolute/path, sqlite://relative/path or postgres://...",
        );
        return None;
    };
    // SQLite's own URLs decode percent signs and have options; here the path is used byte by byte.
    if path.contains(['?', '#', '%']) {
        check.fault(URL_AT, "must be a path without ?, # and %");
        return None;
    }
    let path = check.path(URL_AT, Some(path.to_owned()))?;
    // The file is created at start, its folder is not.
    if path.is_dir() || !path.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
        check.fault(URL_AT, "must be a file in a directory that is there");
        return None;
    }
    Some(Url::SqliteFile(path))
}
