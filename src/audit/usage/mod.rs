//! When policies matched and secrets were read, kept beyond the retention of the events that say so.
//!
//! The table `policy_usage` is filled from the log in the background, so that no request pays for it. It holds times of last use
//! only: counting an event twice changes nothing. So replicas need not take turns, and events that become visible late, or while a
//! replica was away, are counted like the others.

mod event;
mod gone;
mod table;
mod used;

pub use event::UsageEvent;
pub use table::{Counted, Usage, UsageError, UsageTimes, UsedBy};
pub use used::{Use, UseKind};
