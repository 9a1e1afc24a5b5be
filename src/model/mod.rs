//! The domain types that every other room uses. No serde, no I/O.

pub mod applicant;
pub mod binding;
pub mod branch;
pub mod bundle;
pub mod caller;
pub mod clock;
pub mod duration;
pub mod facts;
pub mod format;
pub mod idempotency_key;
pub mod ipv6_prefix;
pub mod lease;
pub mod path_segment;
pub mod policy_ref;
pub mod policy_resource;
pub mod repo;
pub mod request;
pub mod request_id;
pub mod secret;
pub mod secret_ref;
pub mod shadow;
pub mod spelling;
pub mod ticket;
pub mod ticket_limit;
pub mod via;
pub mod write;
