//! The validated configuration, with one field for each section.

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

/// The validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and public URL.
    pub server: Server,
    /// How callers are authenticated. At least one, with distinct names.
    pub authenticators: Vec<Authenticator>,
    /// Who may administer.
    pub administrators: Administrators,
    /// Requirements for policies that use attested facts of Tekton runs.
    pub attestation: Attestation,
    /// The stores of secrets. At least one, with distinct names.
    pub stores: Vec<Store>,
    /// Where audit events, policies and tickets are stored.
    pub database: Database,
    /// The sources of policies, and upper bounds on what they grant.
    pub policies: Policies,
    /// Lifetime and binding of tickets.
    pub tickets: Tickets,
    /// Bounds on requests and connections of clients.
    pub limits: Limits,
    /// The audit log.
    pub audit: Audit,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// The Vault-compatible API.
    pub vault_api: VaultApi,
    /// Settings that work but should be changed, ordered by place.
    pub warnings: Vec<Fault>,
}
