//! The verbs of the broker, such as `issue` and `redeem`. Only this module joins the stages (`authn`, `attest`, `policy`,
//! `stores`, `tickets`, `render` and `audit`). Each verb has its own file and is a sequence of calls to stages.
//!
//! The verbs are methods of [`Broker`]: `authenticate`, `log_in`, `issue`, `deliver`, `redeem`, `explain`; for administrators
//! `policies`, `write_policy`, `tickets`, `leases`, `audit`, `inventory`. `upkeep` and `lease_holders` run in the background.
//! The command `claviger restore` calls `restore`, without a broker.

mod administrator;
mod audit;
mod authenticate;
mod context;
mod deliver;
mod error;
mod explain;
mod facts;
mod gather;
mod inventory;
mod issue;
mod issue_request;
mod lease_holders;
mod leases;
mod log_in;
mod page;
mod pipeline;
mod policies;
mod redeem;
mod refusal;
mod refused_tickets;
mod restore;
mod shadow;
mod tickets;
mod upkeep;
mod versions_digest;
mod write_policy;

pub use crate::stores::RevocationProgress;
pub use administrator::Administrator;
pub use audit::{Cursor, EventType, Filter, Outcome};
pub use context::Context;
pub use error::Error;
pub use inventory::InventoryCursor;
pub use issue::IssuedTicket;
pub use issue_request::{DeliveryMode, IssueRequest};
pub use lease_holders::LeaseRecorder;
pub use leases::LeasePosition;
pub use log_in::Session;
pub use page::Page;
pub use pipeline::{Broker, Delivered, Stages};
pub use redeem::RedeemRequest;
pub use restore::revoke_after_restore;
pub use tickets::TicketSelector;
pub use versions_digest::{VersionsKey, version_number};
pub use write_policy::{Precondition, PutOutcome, Syntax, WritePolicy};
