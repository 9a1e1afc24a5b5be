//! The life of a process: start and its failures, reload, and shutdown.

mod drain;
mod locked;
mod policies;
mod reload;
mod start;
mod two_on_one_database;
mod upgraded;
