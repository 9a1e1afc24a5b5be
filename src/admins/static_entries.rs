//! The static list: holders of OIDC tokens, by their claims.

use crate::config::administrators::StaticAdministrator;
use crate::model::caller::Caller;

/// Whether an entry matches this caller: it comes from the entry's authenticator, and has every claim with exactly
/// the entry's value.
pub fn lists(entries: &[StaticAdministrator], caller: &Caller) -> bool {
    entries.iter().any(|entry| {
        // An entry without claims would match everyone; the configuration refuses it, and so does this check.
        !entry.claims.is_empty()
            && entry.authenticator == caller.issuer
            && entry.claims.iter().all(|(name, value)| caller.claims.get(name) == Some(value))
    })
}
