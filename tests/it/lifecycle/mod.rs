//! The life of a process: start and its failures, reload, and shutdown.

mod drain;
mod locked;
mod policies;
mod reload;
mod shared_database;
mod start;
mod upgraded;
