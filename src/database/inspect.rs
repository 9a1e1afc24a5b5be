//! A look at a database without changing it: no migration, no file that is made, no lock.

use super::failed::{Failed, OpenError};
use super::handle::Database;
use super::pool::Pool;
use super::query::Query;
use super::{migrations, postgres, sqlite};
use crate::config::database::Url;

/// The schema of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// Its last migration; 0 without any.
    pub present: i64,
    /// The last migration of this version of Claviger.
    pub known: i64,
}

impl Database {
    /// Opens a database to look at it. None: the SQLite file does not exist, or the database is in memory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn look_into(url: &Url) -> Result<Option<Self>, OpenError> {
        let pool = match url {
            Url::SqliteMemory => return Ok(None),
            Url::SqliteFile(path) if !path.exists() => return Ok(None),
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::readers(path)),
            Url::Postgres(url) => Pool::Postgres(postgres::connect(url).await?),
        };
        Ok(Some(Self { reader: pool.clone(), pool }))
    }

    /// The version of the schema.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn schema_version(&self) -> Result<SchemaVersion, Failed> {
        const TABLE: &str = "SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'";
        const TABLE_REMOTE: &str =
            "SELECT CAST(to_regclass('_sqlx_migrations') AS TEXT) WHERE to_regclass('_sqlx_migrations') IS NOT NULL";
        const LAST: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
        let (table, known) = if self.is_remote() {
            (TABLE_REMOTE, migrations::last_of_postgres())
        } else {
            (TABLE, migrations::last_of_sqlite())
        };
        if self.read(&Query::new(table)).await?.is_empty() {
            return Ok(SchemaVersion { present: 0, known });
        }
        let rows = self.read(&Query::new(LAST)).await?;
        Ok(SchemaVersion { present: rows.first().ok_or_else(Failed::no_row)?.number(0)?, known })
    }
}
