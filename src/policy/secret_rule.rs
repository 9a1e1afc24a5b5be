//! Which keys of a secret are selected, and their final names.

use super::glob::Glob;
use super::patterns::{MAX_ENTRIES, Patterns};
use crate::document::{Fault, escape};
use crate::wire::policy as raw;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum length of a name or prefix in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// Applies `keys`, then `rename`, then `prefix`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecretRule {
    /// `None` selects all keys.
    keys: Option<Patterns>,
    /// New names by the store's name.
    rename: BTreeMap<String, String>,
    prefix: String,
}

impl SecretRule {
    /// Compiles the rule of a secret; records all faults and then returns `None`.
    pub(super) fn compile(secret: &raw::Secret, pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        let keys = secret.keys.as_ref().map(|keys| Patterns::compile(keys, &format!("{pointer}/keys"), faults));
        let prefix = secret.prefix.clone().unwrap_or_default();
        if prefix.len() > MAX_NAME_BYTES {
            faults.push(Fault::new(format!("{pointer}/prefix"), "must have at most 1024 bytes"));
        }
        let rename = rename(&secret.rename, &format!("{pointer}/rename"), faults);
        if faults.len() > before {
            return None;
        }
        let rule = Self { keys: keys.flatten(), rename, prefix };
        rule.check(&format!("{pointer}/rename"), faults);
        (faults.len() == before).then_some(rule)
    }

    /// Finds faults that need both `keys` and `rename`.
    fn check(&self, pointer: &str, faults: &mut Vec<Fault>) {
        let mut taken: BTreeSet<&str> = self.literal_keys().filter(|name| !self.rename.contains_key(*name)).collect();
        for (source, target) in &self.rename {
            let pointer = || format!("{pointer}/{}", escape(source));
            if !self.selects(source) {
                faults.push(Fault::new(pointer(), "renames a key that keys does not select"));
            } else if !taken.insert(target) {
                faults.push(Fault::new(pointer(), "gives a name that another key of this secret has"));
            }
        }
    }

    /// Whether a key is selected.
    pub(super) fn selects(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.matches(key))
    }

    /// The final name of a key.
    pub(super) fn final_name<'a>(&'a self, key: &'a str) -> Cow<'a, str> {
        let name = self.rename.get(key).map_or(key, String::as_str);
        if self.prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{}{name}", self.prefix)) }
    }

    /// Whether the policy contains exactly this final name: as a `rename` target, or in `keys` without a wildcard.
    /// With a prefix it never does, because the policy does not contain the whole name.
    pub(super) fn is_named(&self, key: &str) -> bool {
        self.prefix.is_empty() && (self.rename.contains_key(key) || self.literal_keys().any(|literal| literal == key))
    }

    /// The keys that a required secret must have: those named without a wildcard.
    pub(super) fn written_keys(&self) -> impl Iterator<Item = &str> {
        self.literal_keys().chain(self.rename.keys().map(String::as_str))
    }

    fn literal_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().flat_map(Patterns::literals)
    }
}

fn rename(
    entries: &BTreeMap<String, Option<String>>,
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> BTreeMap<String, String> {
    if entries.len() > MAX_ENTRIES {
        faults.push(Fault::new(pointer, "must have at most 1000 entries"));
        return BTreeMap::new();
    }
    let mut renamed = BTreeMap::new();
    for (source, target) in entries {
        let detail = match (target, Glob::parse(source).map(|glob| glob.as_literal().is_some())) {
            (None, _) => "must be a string",
            (Some(target), _) if target.is_empty() => "must not be empty",
            (Some(target), _) if target.len() > MAX_NAME_BYTES => "must have at most 1024 bytes",
            (Some(_), Ok(false)) => "renames one key, not all that fit a pattern",
            (Some(_), Err(_)) => "renames a key that keys cannot name",
            (Some(target), Ok(true)) => {
                renamed.insert(source.clone(), target.clone());
                continue;
            }
        };
        faults.push(Fault::new(format!("{pointer}/{}", escape(source)), detail));
    }
    renamed
}
