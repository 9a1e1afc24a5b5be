//! Opening a database without changing it: it is not migrated, no file is created, and no lock is acquired.

use super::errors::{DatabaseError, OpenError};
use super::handle::Database;
use super::pool::Pool;
use super::query::Query;
use super::{migrations, postgres, sqlite};
use crate::config::database::Url;

/// The version of a database's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The last migration that was applied; 0 if none was.
    pub applied: i64,
    /// The last migration of this version of Claviger.
    pub known: i64,
}

impl Database {
    /// Opens a database without changing it. Returns `None` if the SQLite file does not exist, and for a database in memory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_for_inspection(url: &Url) -> Result<Option<Self>, OpenError> {
        let pool = match url {
            Url::SqliteMemory => return Ok(None),
            Url::SqliteFile(path) if !path.exists() => return Ok(None),
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::open_readers(path)),
            Url::Postgres(url) => Pool::Postgres(postgres::open_without_migration(url).await?),
        };
        Ok(Some(Self { reader: pool.clone(), pool }))
    }

    /// Reads the version of the schema.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn schema_version(&self) -> Result<SchemaVersion, DatabaseError> {
        const FIND_TABLE_SQLITE: &str = "SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'";
        const FIND_TABLE_POSTGRES: &str =
            "SELECT CAST(to_regclass('_sqlx_migrations') AS TEXT) WHERE to_regclass('_sqlx_migrations') IS NOT NULL";
        const LAST: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
        let (find_table, known) = if self.is_remote() {
            (FIND_TABLE_POSTGRES, migrations::last_postgres_version())
        } else {
            (FIND_TABLE_SQLITE, migrations::last_sqlite_version())
        };
        if self.read(&Query::new(find_table)).await?.is_empty() {
            return Ok(SchemaVersion { applied: 0, known });
        }
        let rows = self.read(&Query::new(LAST)).await?;
        Ok(SchemaVersion { applied: rows.first().ok_or_else(DatabaseError::missing_row)?.number(0)?, known })
    }
}
