//! The checker on ten thousand tampered logs, and searches in SQLite.

mod mutations;
mod rows;
mod search;
