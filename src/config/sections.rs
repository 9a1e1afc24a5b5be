//! The whole checked configuration, one field a section.

use super::administrators::Administrators;
use super::attestation::Attestation;
use super::audit::Audit;
use super::authenticators::Authenticator;
use super::database::Database;
use super::limits::Limits;
use super::policies::Policies;
use super::server::Server;
use super::stores::Store;
use super::telemetry::Telemetry;
use super::tickets::Tickets;
use super::vault_api::VaultApi;
use crate::document::Fault;

/// The whole checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where we listen and how we are reached.
    pub server: Server,
    /// Who vouches for callers; at least one, with distinct names.
    pub authenticators: Vec<Authenticator>,
    /// Who may administer.
    pub administrators: Administrators,
    /// What policies that attest by run rest on.
    pub attestation: Attestation,
    /// Where secrets are read; at least one, with distinct names.
    pub stores: Vec<Store>,
    /// Where audit events and policies rest.
    pub database: Database,
    /// Where policies come from and what none may leave.
    pub policies: Policies,
    /// Lives and bindings of tickets.
    pub tickets: Tickets,
    /// Bounds on everything a stranger can send.
    pub limits: Limits,
    /// The audit log.
    pub audit: Audit,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// The Vault-compatible API.
    pub vault_api: VaultApi,
    /// What works and should be otherwise, by place.
    pub warnings: Vec<Fault>,
}
