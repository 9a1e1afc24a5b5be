//! Stage 7, audit: an event is durable, as a link of a hash chain, before any secret that it records is released.
//!
//! The log is in the database; standard output gets a copy of durable events. No event can hold a secret, because an [`Event`]
//! has only typed fields.

mod aggregated;
mod anchors;
mod blocks;
mod chain;
mod chain_checker;
mod chain_hasher;
mod chain_writer;
mod checkpoint;
mod filter;
mod known_events;
mod log;
mod open_event;
mod port;
mod postgres_query;
mod queued_event;
mod reader;
mod recent_rows;
mod refusals;
mod retention;
mod row_sizes;
mod rows;
mod segments;
mod sqlite_query;
mod stdout;
mod stored_event;
mod usage;
mod writer;

pub use aggregated::AggregatedEvents;
pub use chain_checker::{BrokenEvent, ChainChecker, ChainStart, VerificationResult};
pub use chain_hasher::ChainHasher;
pub use filter::{Cursor, Filter};
pub use known_events::KnownEvents;
pub use log::AuditLog;
pub use open_event::OpenEvent;
pub use port::{AuditUnavailable, Event, EventCommitError};
pub use reader::{FoundEvents, Reader, RecordedEvent};
pub use refusals::{INDIVIDUAL_PER_MINUTE, Refusals};
pub use retention::{Retention, RetentionLimits};
pub use stored_event::StoredEvent;
pub use usage::{LastUse, PolicyUse, UsageError, UsageEvent, UsageProgress, UsageSummary, UsageTable, UseKind};

#[cfg(test)]
mod tests;
