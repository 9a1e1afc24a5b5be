//! The static list: bearers of OIDC tokens by their claims.

use crate::config::administrators::Static;
use crate::model::caller::Caller;

/// Whether an entry lists this caller: its authenticator vouched, and every claim has the very value of the entry.
pub fn lists(entries: &[Static], caller: &Caller) -> bool {
    entries.iter().any(|entry| {
        // An entry without claims would list everybody; the configuration refuses one, and so does this.
        !entry.claims.is_empty()
            && entry.authenticator == caller.issuer
            && entry.claims.iter().all(|(name, value)| caller.claims.get(name) == Some(value))
    })
}
