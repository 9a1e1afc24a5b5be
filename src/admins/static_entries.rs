//! The static list of administrators: callers with OIDC tokens, by their claims.

use crate::config::administrators::StaticAdministrator;
use crate::model::caller::Caller;

/// Whether an entry matches this caller: the caller comes from the entry's authenticator, and has every claim of the entry with
/// exactly the entry's value.
pub fn lists(entries: &[StaticAdministrator], caller: &Caller) -> bool {
    entries.iter().any(|entry| {
        // An entry without claims would match everyone. The configuration already refuses such an entry.
        !entry.claims.is_empty()
            && entry.authenticator == caller.issuer
            && entry.claims.iter().all(|(name, value)| caller.claims.get(name) == Some(value))
    })
}
