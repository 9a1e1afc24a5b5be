//! The database, SQLite or PostgreSQL: connections, durability checks, migrations, statements and units of work. No table's
//! meaning is known here.

mod data_loss;
mod disk_space;
mod durability;
mod errors;
mod file_mode;
mod handle;
mod insert;
mod inspect;
mod listener;
mod literals;
mod migrations;
mod param;
mod pool;
mod pooler_migrations;
mod postgres;
mod postgres_pool;
mod query;
mod server;
mod server_clock;
mod session_settings;
mod sqlite;
mod statement;
mod step;
mod unit_of_work;

pub use data_loss::DataLossCause;
pub use disk_space::{DiskSpace, disk_space};
pub use errors::{DatabaseError, OpenError};
pub use handle::Database;
pub use inspect::SchemaVersion;
pub use listener::Listener;
pub use param::Param;
pub use query::Query;
pub use server_clock::ServerTime;
pub use statement::{Row, Sql};
pub use step::{Step, StepRunner};
pub use unit_of_work::{CommitError, UnitOfWork};

#[cfg(test)]
mod tests;
