//! Derives the bounds for policies from the configuration.

use crate::config::Config;
use crate::config::authenticators::Kind;
use crate::config::ceiling::CeilingEntry;
use crate::config::tenants::Tenant;
use crate::document::Fault;
use crate::policy::{AuthenticatorKind, Bounds, Ceiling, Tenants};
use std::sync::Arc;

/// The bounds that a configuration sets for policies.
#[must_use]
pub fn policy_bounds(config: &Config) -> Bounds {
    let kind = |kind: &Kind| match kind {
        Kind::Kubernetes(_) => AuthenticatorKind::Kubernetes,
        Kind::Oidc(_) => AuthenticatorKind::Oidc,
    };
    Bounds {
        stores: config.stores.iter().map(|store| store.name.clone()).collect(),
        authenticators: config.authenticators.iter().map(|entry| (entry.name.clone(), kind(&entry.kind))).collect(),
        max_ttl: config.tickets.max_ttl,
        ceiling: Ceiling::new(ceiling_entries(&config.policies.ceiling)),
        // Invalid patterns are reported by `tenant_pattern_faults`. The default gives no rights to any tenant.
        tenants: tenants(config).unwrap_or_default(),
    }
}

/// The faults of the namespace patterns in `policies.tenants`.
#[must_use]
pub fn tenant_pattern_faults(config: &Config) -> Vec<Fault> {
    let faults = tenants(config).err().unwrap_or_default();
    faults.into_iter().map(|fault| Fault::new(format!("/policies/tenants{}", fault.pointer), fault.detail)).collect()
}

fn tenants(config: &Config) -> Result<Tenants, Vec<Fault>> {
    let tenants = config.policies.tenants.iter();
    Tenants::new(tenants.map(|Tenant { namespaces, ceiling }| (namespaces.clone(), ceiling_entries(ceiling).collect())))
}

fn ceiling_entries(ceiling: &[CeilingEntry]) -> impl Iterator<Item = (Arc<str>, String)> {
    ceiling.iter().map(|entry| (entry.store.clone(), entry.path_prefix.clone()))
}
