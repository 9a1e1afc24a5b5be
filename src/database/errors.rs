//! The errors of the database, and the time limit of statements.

use super::session_settings::UNKNOWN_SETTING;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::io;
use std::time::Duration;

/// Time limit of one statement on a PostgreSQL server. SQLite is a library and needs none.
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened, or the server cannot be reached.
    #[error("the database cannot be opened")]
    Sqlx(#[from] sqlx::Error),
    /// A migration failed.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The settings allow a crash or a failover to lose commits.
    #[error("the database may lose commits: {0}")]
    MayLoseCommits(&'static str),
    /// No host of the URL has the wanted kind of session.
    #[error("no host of the database's URL accepts writes; all that answer are standbys or read-only")]
    NoPrimary,
    /// The password cannot be read.
    #[error("database.passwordFile cannot be read or is empty")]
    PasswordFile,
    /// A pooler in statement mode.
    #[error(
        "the pooler in front of PostgreSQL does not allow transactions: set its pool_mode to transaction or session"
    )]
    NoTransactions,
    /// The direct URL leads to a pooler.
    #[error("database.directUrl leads to a pooler: write the address of PostgreSQL itself, or remove it")]
    DirectIsPooled,
    /// The two URLs lead to different databases.
    #[error("database.url and database.directUrl lead to different databases")]
    OtherDatabase,
}

impl OpenError {
    /// Whether a server that is starting, stopping or being promoted refused the connection.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::NoPrimary => true,
            Self::Sqlx(sqlx::Error::Io(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
            Self::Sqlx(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code.starts_with("57P")),
            _ => false,
        }
    }

    /// Whether to try the next host of the URL: this one cannot be reached, is starting or stopping (SQLSTATE 57P), is a pooler
    /// without its server (class 08), or is not the wanted kind of server.
    pub(super) fn allows_next_host(&self) -> bool {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
            }
            Self::Sqlx(error) => !matches!(error, sqlx::Error::Configuration(_)),
            _ => matches!(self, Self::NoPrimary),
        }
    }
}

/// The error of a statement in a running process for which no connection could be opened: see [`DatabaseError::kind`].
impl From<OpenError> for sqlx::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Sqlx(error) => error,
            other => Self::Configuration(Box::new(other)),
        }
    }
}

/// A statement failed, or its outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {}", self.kind())]
pub struct DatabaseError(#[from] pub(super) sqlx::Error);

impl DatabaseError {
    /// For a result without a row that must exist.
    #[must_use]
    pub const fn missing_row() -> Self {
        Self(sqlx::Error::RowNotFound)
    }

    /// The kind of error, for logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            sqlx::Error::Configuration(error) => match error.downcast_ref() {
                Some(OpenError::MayLoseCommits(_)) => "may_lose_commits",
                Some(OpenError::NoPrimary) => "no_primary",
                Some(OpenError::PasswordFile) => "password_file",
                _ => "configuration",
            },
            sqlx::Error::Database(error) if error.code().is_some_and(|code| code == UNKNOWN_SETTING) => {
                "may_lose_commits"
            }
            sqlx::Error::Database(_) => "database",
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => "timeout",
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "io",
            sqlx::Error::PoolTimedOut => "timeout",
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "closed",
            sqlx::Error::RowNotFound => "row",
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. } => "column",
            _ => "other",
        }
    }

    /// Whether the statement certainly changed nothing and will change nothing. If false, it may have taken effect, or may
    /// still do so.
    #[must_use]
    pub fn had_no_effect(&self) -> bool {
        match &self.0 {
            sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
                // With a higher severity, the server ends the session during the statement. A pooler that has lost its server
                // does so with any severity.
                Some(error) => error.severity() == PgSeverity::Error && !self.is_from_pooler(),
                // SQLite: all but SQLITE_IOERR (10) and SQLITE_CORRUPT (11).
                None => !self.has_code(&[], &[10, 11]),
            },
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
            _ => false,
        }
    }

    /// Whether a row with the same key exists.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        matches!(&self.0, sqlx::Error::Database(error) if error.is_unique_violation())
    }

    /// Whether the database rejected the values. A retry with the same values fails again.
    #[must_use]
    pub fn is_invalid_data(&self) -> bool {
        // SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded. SQLite: SQLITE_TOOBIG,
        // SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_RANGE.
        !self.is_duplicate() && self.has_code(&["22", "23", "54"], &[18, 19, 20, 25])
    }

    /// Whether concurrent changes conflicted. A retry may succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.is_duplicate() || self.has_code(&["40"], &[])
    }

    /// Whether a pooler reports that it has no connection to the server: SQLSTATE class 08, connection exception.
    pub(super) fn is_from_pooler(&self) -> bool {
        self.has_code(&["08"], &[])
    }

    /// Whether another process holds the lock of an SQLite file: `SQLITE_BUSY`.
    pub(super) fn is_busy(&self) -> bool {
        self.has_code(&[], &[5])
    }

    /// Whether PostgreSQL's error is of one of the SQLSTATE classes, or SQLite's has one of the primary result codes.
    fn has_code(&self, postgres_classes: &[&str], sqlite_codes: &[i64]) -> bool {
        let sqlx::Error::Database(error) = &self.0 else { return false };
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<PgDatabaseError>().is_some() {
            postgres_classes.iter().any(|class| code.starts_with(class))
        } else {
            code.parse::<i64>().is_ok_and(|code| sqlite_codes.contains(&(code & 0xFF)))
        }
    }
}

/// Runs a statement, and fails with a time-out after [`TIME_LIMIT`].
pub(super) async fn with_time_limit<T>(
    statement: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    match tokio::time::timeout(TIME_LIMIT, statement).await {
        Ok(result) => result,
        Err(_) => Err(DatabaseError(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))),
    }
}
