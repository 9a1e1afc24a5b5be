//! The times at which policies last matched and secrets were last read, kept longer than the events.
//!
//! The table `policy_usage` is filled from the log in the background, not by requests. It holds only times of last use, so
//! adding an event twice changes nothing. Therefore replicas need no lock, and an event that becomes visible late is added by a
//! later pass. With SQLite, the events that this process has written are taken from memory. They are read from the log only
//! after a restart, and if there are too many different ones.

mod deleted_policies;
mod excess_names;
mod name_list;
mod policy_use;
pub(super) mod recent_uses;
mod table;
mod usage_event;
mod usage_parts;

pub use policy_use::{PolicyUse, UseKind};
pub use table::{LastUse, UsageError, UsageProgress, UsageSummary, UsageTable};
pub use usage_event::UsageEvent;
