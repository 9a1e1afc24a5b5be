//! The errors of the database, and the time limit of statements.

use super::session::UNKNOWN_SETTING;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::io;
use std::time::Duration;

/// The time limit of one statement on a PostgreSQL server. SQLite is a library and needs none.
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened or reached.
    #[error("the database cannot be opened")]
    Sqlx(#[from] sqlx::Error),
    /// A migration failed.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The settings allow a crash to lose commits.
    #[error("the database may forget: {0}")]
    MayForget(&'static str),
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

/// No connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    Sqlx(sqlx::Error),
    MayForget(&'static str),
    NoPrimary,
    PasswordFile,
}

impl ConnectError {
    /// Whether a server that is starting, stopping or being promoted refused the connection.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::NoPrimary => true,
            Self::Sqlx(sqlx::Error::Io(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
            Self::Sqlx(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code.starts_with("57P")),
            _ => false,
        }
    }

    /// Whether another host may do: this one does not answer, is starting or stopping, is a pooler without its server (class 08), or is
    /// not the wanted kind of server.
    pub(super) fn tries_another_host(&self) -> bool {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
            }
            Self::Sqlx(sqlx::Error::Configuration(_)) | Self::MayForget(_) | Self::PasswordFile => false,
            Self::NoPrimary | Self::Sqlx(_) => true,
        }
    }
}

impl From<sqlx::Error> for ConnectError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl From<ConnectError> for OpenError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Sqlx(error) => Self::Sqlx(error),
            ConnectError::MayForget(why) => Self::MayForget(why),
            ConnectError::NoPrimary => Self::NoPrimary,
            ConnectError::PasswordFile => Self::PasswordFile,
        }
    }
}

/// In a running process the reasons are errors of a statement, with their sentence.
impl From<ConnectError> for sqlx::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Sqlx(error) => error,
            other => Self::Configuration(Box::new(OpenError::from(other))),
        }
    }
}

/// A statement failed, or its outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {}", self.kind())]
pub struct Failed(#[from] pub(super) sqlx::Error);

impl Failed {
    /// A row that must exist is missing.
    #[must_use]
    pub const fn no_row() -> Self {
        Self(sqlx::Error::RowNotFound)
    }

    /// The kind of failure, for logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            sqlx::Error::Configuration(error) => match error.downcast_ref() {
                Some(OpenError::MayForget(_)) => "may_forget",
                Some(OpenError::NoPrimary) => "no_primary",
                Some(OpenError::PasswordFile) => "password_file",
                _ => "configuration",
            },
            sqlx::Error::Database(error) if error.code().is_some_and(|code| code == UNKNOWN_SETTING) => "may_forget",
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

    /// Whether the statement certainly changed nothing. Otherwise it may have taken effect, or may still do so.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match &self.0 {
            sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
                // A higher severity ends the session during a statement. So does a pooler that has lost the server, with any
                // severity.
                Some(error) => error.severity() == PgSeverity::Error && !self.is_of_pooler(),
                // SQLite: neither an I/O error (10) nor a corrupt file (11).
                None => !self.is_one_of(&[], &[10, 11]),
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

    /// Whether the database rejected the values. A retry fails again; other values succeed.
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        // Data exceptions, violated constraints, exceeded limits; of SQLite: too big, constraint, mismatch, out of range.
        !self.is_duplicate() && self.is_one_of(&["22", "23", "54"], &[18, 19, 20, 25])
    }

    /// Whether concurrent changes conflicted. A retry may succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.is_duplicate() || self.is_one_of(&["40"], &[])
    }

    /// Whether a pooler answered instead of the server: SQLSTATE class 08, a connection exception.
    pub(super) fn is_of_pooler(&self) -> bool {
        self.is_one_of(&["08"], &[])
    }

    /// Whether another process holds the lock of an SQLite file.
    pub(super) fn is_busy(&self) -> bool {
        self.is_one_of(&[], &[5])
    }

    fn is_one_of(&self, classes: &[&str], sqlite: &[i64]) -> bool {
        let sqlx::Error::Database(error) = &self.0 else { return false };
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<PgDatabaseError>().is_some() {
            classes.iter().any(|class| code.starts_with(class))
        } else {
            code.parse::<i64>().is_ok_and(|code| sqlite.contains(&(code & 0xFF)))
        }
    }
}

/// Fails with a time-out if the server does not answer in time.
pub(super) async fn within<T>(step: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    match tokio::time::timeout(TIME_LIMIT, step).await {
        Ok(result) => result,
        Err(_) => Err(Failed(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))),
    }
}
