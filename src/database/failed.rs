//! The errors of the database, and the time limit of statements.

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
                // A higher severity ends the session during a statement.
                Some(error) => error.severity() == PgSeverity::Error,
                // SQLite: neither an I/O error (10) nor a corrupt file (11).
                None => !self.is_one_of(&[], &[10, 11]),
            },
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
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
