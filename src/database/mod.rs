//! The pool: SQLite or PostgreSQL, durability checks, migrations, and the unit of work. It does not know the meaning of any table.

mod connections;
mod data_loss;
mod durability;
mod failed;
mod handle;
mod insertion;
mod inspect;
mod listener;
mod literals;
mod machine;
mod migrations;
mod param;
mod pool;
mod pooled_migrations;
mod postgres;
mod private;
mod query;
mod server;
mod session;
mod sqlite;
mod statement;
mod step;
mod work;

pub use data_loss::DataLoss;
pub use failed::{Failed, OpenError};
pub use handle::Database;
pub use inspect::SchemaVersion;
pub use listener::Listener;
pub use machine::{ServerTime, Space, space};
pub use param::Param;
pub use query::Query;
pub use statement::{Row, Sql};
pub use step::{Step, StepRunner};
pub use work::{CommitError, Work};

#[cfg(test)]
mod tests;
