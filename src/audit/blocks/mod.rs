//! The index of the audit log in SQLite: blocks of rows, with a hash of two bytes for each filtered column of a row.
//!
//! The writer collects the hashes of the rows that it writes, and stores them once for each block. Rows without a block (the newest ones,
//! and those of another process) are compared one by one, so that results do not depend on how much is
//! indexed. A block whose hashes were altered can hide events from filters, but not from verification and exports.

mod block;
mod fill;
mod table;
mod writer;

pub use block::{Column, Values, hash};
pub use table::{Listed, below, forget};
pub use writer::BlockWriter;

#[cfg(test)]
pub use fill::fill;
