//! THE PIPELINE: the only place where the stages meet. One verb a file, each a list of stage calls.

mod administer;
mod audit;
mod authenticate;
mod context;
mod deliver;
mod error;
mod explain;
mod facts;
mod gather;
mod holders;
mod issue;
mod leases;
mod page;
mod pipeline;
mod policies;
mod redeem;
mod shown_in_vain;
mod tickets;
mod upkeep;
mod versions;
mod write_policy;

pub use crate::stores::Revoked;
pub use administer::Administrator;
pub use audit::{Cursor, CutShort, EventType, Filter, Outcome};
pub use context::Context;
pub use error::Error;
pub use gather::{DeliveryMode, IssueRequest};
pub use holders::LeaseRecorder;
pub use issue::Issued;
pub use leases::LeasePlace;
pub use page::Page;
pub use pipeline::{Broker, Delivered, Stages};
pub use redeem::Redeem;
pub use tickets::TicketSelector;
pub use versions::VersionsKey;
pub use write_policy::{Change, Precondition, Syntax, WritePolicy};
