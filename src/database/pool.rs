//! The connection pool of either database.

use super::postgres_pool::PostgresPool;
use sqlx::sqlite::SqlitePool;

#[derive(Debug, Clone)]
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(PostgresPool),
}
