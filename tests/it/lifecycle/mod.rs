//! The life of a process: how it starts or says why not, what it reads again, and how it ends.

mod drain;
mod locked;
mod policies;
mod reload;
mod start;
mod two_on_one_database;
