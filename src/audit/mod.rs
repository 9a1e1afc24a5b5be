//! Stage 7, audit: an event becomes a durable link of a hash chain before anything that it records is released.
//!
//! The database is the log; standard output gets a copy of durable events. No event can hold a secret: an
//! [`Event`] has typed fields only.

mod aggregated;
mod anchors;
mod blocks;
mod chain;
mod chain_writer;
mod checker;
mod checkpoint;
mod entry;
mod filter;
mod keys;
mod known;
mod log;
mod open_event;
mod pending;
mod port;
mod postgres_query;
mod reader;
mod refusals;
mod retention;
mod rows;
mod segments;
mod sqlite_query;
mod stdout;
mod usage;
mod writer;

pub use aggregated::Aggregated;
pub use checker::{Beginning, Broken, Checker, Verified};
pub use entry::Stored;
pub use filter::{Cursor, Filter};
pub use keys::ChainHasher;
pub use known::Known;
pub use log::AuditLog;
pub use open_event::OpenEvent;
pub use port::{AuditUnavailable, CommitError, Event};
pub use reader::{Reader, Recorded};
pub use refusals::{INDIVIDUAL_PER_MINUTE, Refusals};
pub use retention::{Limits, Retention};
pub use usage::{Counted, Usage, UsageError, UsageEvent, UsageTimes, Use, UseKind, UsedBy};

#[cfg(test)]
mod tests;
