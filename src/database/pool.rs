//! The two kinds of connection pools.

use super::connections::Connections;
use sqlx::sqlite::SqlitePool;

#[derive(Debug, Clone)]
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(Connections),
}
