//! The bounds for policies, from the configuration.

use crate::config::Config;
use crate::config::authenticators::Kind;
use crate::policy::{AuthenticatorKind, Bounds, Ceiling};

/// The bounds that a configuration sets for policies.
#[must_use]
pub fn policy_bounds(config: &Config) -> Bounds {
    let kind = |kind: &Kind| match kind {
        Kind::Kubernetes(_) => AuthenticatorKind::Kubernetes,
        Kind::Oidc(_) => AuthenticatorKind::Oidc,
    };
    let ceiling = config.policies.ceiling.iter().map(|entry| (entry.store.clone(), entry.path_prefix.clone()));
    Bounds {
        stores: config.stores.iter().map(|store| store.name.clone()).collect(),
        authenticators: config.authenticators.iter().map(|one| (one.name.clone(), kind(&one.kind))).collect(),
        max_ttl: config.tickets.max_ttl,
        ceiling: Ceiling::new(ceiling),
    }
}
