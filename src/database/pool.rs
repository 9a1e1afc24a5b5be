//! The two kinds of connection pools.

use super::spare_connections::Connections;
use sqlx::sqlite::SqlitePool;

#[derive(Debug, Clone)]
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(Connections),
}
