//! Shared by `docker-config`, `npmrc` and `netrc`: groups the keys of a bundle into credentials by their names.
//!
//! | format | keys of a credential |
//! |---|---|
//! | `docker-config` | `REGISTRY`, `REGISTRY_USERNAME`, `REGISTRY_PASSWORD` |
//! | `npmrc` | `NPM_REGISTRY`, `NPM_TOKEN` |
//! | `netrc` | `NETRC_MACHINE`, `NETRC_LOGIN`, `NETRC_PASSWORD` |
//!
//! Several credentials are distinguished by prefixes: `GHCR_REGISTRY`, `GHCR_REGISTRY_USERNAME`,
//! `GHCR_REGISTRY_PASSWORD`. Policies give keys these names by `rename`. A credential needs all of its keys. A key
//! that belongs to no credential is an error, so that no secret is dropped silently; a request selects keys with
//! the ticket's `keys`. There is no default host: a token goes only to the host that the store names.

use super::port::{Reason, Unrenderable};
use crate::model::bundle::{Bundle, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// A key and its value.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    name: &'a str,
    entry: &'a Entry,
}

impl<'a> Named<'a> {
    /// The value.
    #[expect(clippy::disallowed_methods, reason = "the value is looked at and handed over")]
    pub(super) fn value(self) -> &'a str {
        self.entry.value.expose_secret()
    }

    /// The error for this key.
    pub(super) fn refused(self, reason: Reason) -> Unrenderable {
        Unrenderable { key: self.name.to_owned(), reason }
    }

    /// Returns the error for this key unless the condition holds.
    pub(super) fn must(self, be: bool, reason: Reason) -> Result<(), Unrenderable> {
        if be { Ok(()) } else { Err(self.refused(reason)) }
    }
}

/// The credentials of a bundle, sorted by prefix, each with its keys in the order of `words`. The first word is
/// the key with the address; two credentials with the same address are an error.
pub(super) fn gather<'a, const N: usize>(
    bundle: &'a Bundle,
    words: [&str; N],
) -> Result<Vec<[Named<'a>; N]>, Unrenderable> {
    let mut gathered: BTreeMap<&str, [Option<Named<'a>>; N]> = BTreeMap::new();
    for (name, entry) in &bundle.entries {
        let named = Named { name, entry };
        let found = words.iter().enumerate().find_map(|(place, word)| Some((place, prefix(name, word)?)));
        let Some((place, prefix)) = found else {
            return Err(named.refused(Reason::NoPartOfACredential));
        };
        gathered.entry(prefix).or_insert([None; N])[place] = Some(named);
    }

    let mut places = BTreeSet::new();
    let mut credentials = Vec::with_capacity(gathered.len());
    for (prefix, parts) in gathered {
        if let Some(missing) = parts.iter().position(Option::is_none) {
            return Err(Unrenderable { key: format!("{prefix}{}", words[missing]), reason: Reason::Missing });
        }
        let whole: Vec<Named<'a>> = parts.into_iter().flatten().collect();
        if let (Some(place), Ok(credential)) = (whole.first().copied(), whole.try_into()) {
            place.must(places.insert(bare(place.value())), Reason::SamePlaceTwice)?;
            credentials.push(credential);
        }
    }
    Ok(credentials)
}

/// The prefix before the word, including its underscore.
fn prefix<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    let prefix = name.strip_suffix(word)?;
    (prefix.is_empty() || (prefix.ends_with('_') && prefix.len() > 1)).then_some(prefix)
}

/// An address without its optional parts.
fn bare(address: &str) -> &str {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    rest.strip_suffix('/').unwrap_or(rest)
}
