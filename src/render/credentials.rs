//! What `docker-config`, `npmrc` and `netrc` share: credentials are gathered from keys by the names of these.
//!
//! | format | a credential is made of |
//! |---|---|
//! | `docker-config` | `REGISTRY`, `REGISTRY_USERNAME`, `REGISTRY_PASSWORD` |
//! | `npmrc` | `NPM_REGISTRY`, `NPM_TOKEN` |
//! | `netrc` | `NETRC_MACHINE`, `NETRC_LOGIN`, `NETRC_PASSWORD` |
//!
//! For more than one, each has a prefix of its own: `GHCR_REGISTRY`, `GHCR_REGISTRY_USERNAME`,
//! `GHCR_REGISTRY_PASSWORD`. Policies give keys these names by `rename`. A credential has all of its keys; a key that
//! belongs to none is refused and not left out, so that no secret is lost on its way: a ticket's `keys` narrows. No
//! host is presumed: a token goes only where the store says.

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

    /// Refuses the key.
    pub(super) fn refused(self, reason: Reason) -> Unrenderable {
        Unrenderable { key: self.name.to_owned(), reason }
    }

    /// Refuses the key unless its value is as it should be.
    pub(super) fn must(self, be: bool, reason: Reason) -> Result<(), Unrenderable> {
        if be { Ok(()) } else { Err(self.refused(reason)) }
    }
}

/// The credentials of a bundle, each with its keys in the order of `words`, in the order of their prefixes. The first
/// word is that of the place that a credential is for; no two are for the same one.
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

/// What stands before the word, with its underscore.
fn prefix<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    let prefix = name.strip_suffix(word)?;
    (prefix.is_empty() || (prefix.ends_with('_') && prefix.len() > 1)).then_some(prefix)
}

/// An address without what may be left out of it.
fn bare(address: &str) -> &str {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    rest.strip_suffix('/').unwrap_or(rest)
}
