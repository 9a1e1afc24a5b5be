//! THE SETTINGS: the checked configuration, one section a file. Knows nothing of what it configures.
//!
//! Every section is two types: the raw one that serde reads, in which nothing is required, and the checked one
//! below, which can only be had from [`load`].

pub mod administrators;
pub mod audit;
pub mod authenticators;
pub mod aws_secrets_manager;
pub mod database;
pub mod key_file;
pub mod limits;
pub mod policies;
pub mod postgres_url;
pub mod server;
pub mod stores;
pub mod telemetry;
pub mod tickets;

mod address;
mod check;
mod defaults;
mod environment;
mod load;
mod size;
mod warnings;

pub use defaults::DEFAULT_YAML;
pub use load::{MAX_BYTES, embedded, from_text, load};
pub use warnings::OF_CLUSTER;

use crate::document::Fault;

/// The whole checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where we listen and how we are reached.
    pub server: server::Server,
    /// Who vouches for callers; at least one, with distinct names.
    pub authenticators: Vec<authenticators::Authenticator>,
    /// Who may administer.
    pub administrators: administrators::Administrators,
    /// Where secrets are read; at least one, with distinct names.
    pub stores: Vec<stores::Store>,
    /// Where audit events and policies rest.
    pub database: database::Database,
    /// Where policies come from and what none may leave.
    pub policies: policies::Policies,
    /// Lives and bindings of tickets.
    pub tickets: tickets::Tickets,
    /// Bounds on everything a stranger can send.
    pub limits: limits::Limits,
    /// The audit log.
    pub audit: audit::Audit,
    /// Logs and traces.
    pub telemetry: telemetry::Telemetry,
    /// What works and should be otherwise, by place.
    pub warnings: Vec<Fault>,
}

#[cfg(test)]
mod tests;
