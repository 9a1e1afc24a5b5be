//! Runs the checker on ten thousand tampered logs.

mod mutations;
mod rows;
