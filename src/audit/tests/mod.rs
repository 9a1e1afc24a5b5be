//! Tests of the chain checker with thousands of tampered logs, and of searches in SQLite.

mod mutations;
mod rows;
mod search;
