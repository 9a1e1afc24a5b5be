//! Groups the keys of a bundle into credentials by their names, for `docker-config`, `npmrc` and `netrc`.
//!
//! | format | keys of a credential |
//! |---|---|
//! | `docker-config` | `REGISTRY`, `REGISTRY_USERNAME`, `REGISTRY_PASSWORD` |
//! | `npmrc` | `NPM_REGISTRY`, `NPM_TOKEN` |
//! | `netrc` | `NETRC_MACHINE`, `NETRC_LOGIN`, `NETRC_PASSWORD` |
//!
//! Prefixes distinguish several credentials: `GHCR_REGISTRY`, `GHCR_REGISTRY_USERNAME`,
//! `GHCR_REGISTRY_PASSWORD`. Policies give keys these names by `rename`. A credential needs all of its keys. A key
//! that belongs to no credential is an error, so that no secret is dropped silently; a request selects keys with
//! the ticket's `keys`. There is no default host: a token goes only to the host that the store names.

use super::port::{UnrenderableKey, UnrenderableReason};
use crate::model::bundle::{Bundle, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// A key of a credential, and its value.
#[derive(Clone, Copy)]
pub(super) struct CredentialPart<'a> {
    name: &'a str,
    entry: &'a Entry,
}

impl<'a> CredentialPart<'a> {
    #[expect(clippy::disallowed_methods, reason = "the value is checked and rendered")]
    pub(super) fn value(self) -> &'a str {
        self.entry.value.expose_secret()
    }

    pub(super) fn error(self, reason: UnrenderableReason) -> UnrenderableKey {
        UnrenderableKey { key: self.name.to_owned(), reason }
    }

    /// Returns the error for this key unless the condition holds.
    pub(super) fn require(self, condition: bool, reason: UnrenderableReason) -> Result<(), UnrenderableKey> {
        if condition { Ok(()) } else { Err(self.error(reason)) }
    }
}

/// Returns the credentials of a bundle, sorted by prefix, each with its keys in the order of `suffixes`. The key with the first
/// suffix holds the address.
///
/// # Errors
/// The bundle has a key without one of the suffixes, a credential that lacks a suffix, or two credentials with one address.
pub(super) fn group_credentials<'a, const N: usize>(
    bundle: &'a Bundle,
    suffixes: [&str; N],
) -> Result<Vec<[CredentialPart<'a>; N]>, UnrenderableKey> {
    let mut incomplete: BTreeMap<&str, [Option<CredentialPart<'a>>; N]> = BTreeMap::new();
    for (name, entry) in &bundle.entries {
        let part = CredentialPart { name, entry };
        let found = suffixes.iter().enumerate().find_map(|(index, suffix)| Some((index, prefix(name, suffix)?)));
        let Some((index, prefix)) = found else {
            return Err(part.error(UnrenderableReason::NotACredentialKey));
        };
        incomplete.entry(prefix).or_insert([None; N])[index] = Some(part);
    }

    let mut addresses = BTreeSet::new();
    let mut credentials = Vec::with_capacity(incomplete.len());
    for (prefix, parts) in incomplete {
        if let Some(missing) = parts.iter().position(Option::is_none) {
            return Err(UnrenderableKey {
                key: format!("{prefix}{}", suffixes[missing]),
                reason: UnrenderableReason::MissingFromCredential,
            });
        }
        let complete: Vec<CredentialPart<'a>> = parts.into_iter().flatten().collect();
        if let (Some(address), Ok(credential)) = (complete.first().copied(), complete.try_into()) {
            address.require(
                addresses.insert(strip_optional_parts(address.value())),
                UnrenderableReason::DuplicateAddress,
            )?;
            credentials.push(credential);
        }
    }
    Ok(credentials)
}

/// What precedes the suffix in a name: nothing, or a prefix that ends in an underscore (`GHCR_`). `None` for all other names.
fn prefix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let prefix = name.strip_suffix(suffix)?;
    (prefix.is_empty() || (prefix.ends_with('_') && prefix.len() > 1)).then_some(prefix)
}

/// Removes the scheme and the trailing slash of an address, which are optional.
fn strip_optional_parts(address: &str) -> &str {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    rest.strip_suffix('/').unwrap_or(rest)
}
