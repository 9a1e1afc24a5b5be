//! The index by which SQLite filters audit events. For each block of about 2,048 consecutive rows, it has a hash of two bytes
//! of each column of each row that a query can filter by.
//!
//! The writer collects the hashes of the rows that it writes, and stores them when a block is full. Queries compare rows
//! without a block (the newest ones, and those of another process) one by one, so results do not depend on how much is indexed.
//! A block whose hashes were altered can hide events from filters, but not from verification and exports.

mod backfill;
mod block;
mod table;
mod writer;

pub use block::{Column, FilterValues, hash_value};
pub use table::{StoredBlock, blocks_below, delete_blocks_up_to};
pub use writer::BlockWriter;

#[cfg(test)]
pub use backfill::backfill;
