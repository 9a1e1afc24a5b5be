//! The fields `keys`, `rename` and `prefix` of a secret: which keys are selected, and their final names.

use super::glob::Glob;
use super::patterns::{MAX_ENTRIES, Patterns};
use crate::document::{Fault, escape_pointer_token};
use crate::wire::policy as raw;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum length of a new name or a prefix in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// Selects keys by `keys`, then applies `rename`, then `prefix`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeySelection {
    /// `None` selects all keys.
    keys: Option<Patterns>,
    /// The new name by the name in the store.
    rename: BTreeMap<String, String>,
    prefix: String,
}

impl KeySelection {
    /// Compiles the fields of a secret. If they are invalid, records all faults and returns `None`.
    pub(super) fn compile(secret: &raw::Secret, pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        let keys = secret.keys.as_ref().map(|keys| Patterns::compile(keys, &format!("{pointer}/keys"), faults));
        let prefix = secret.prefix.clone().unwrap_or_default();
        if prefix.len() > MAX_NAME_BYTES {
            faults.push(Fault::new(format!("{pointer}/prefix"), "must have at most 1024 bytes"));
        }
        let rename = compile_rename(&secret.rename, &format!("{pointer}/rename"), faults);
        if faults.len() > before {
            return None;
        }
        let selection = Self { keys: keys.flatten(), rename, prefix };
        selection.check_rename(&format!("{pointer}/rename"), faults);
        (faults.len() == before).then_some(selection)
    }

    /// Records faults of `rename` that depend on `keys`: a key that is not selected, and a name that another key has.
    fn check_rename(&self, pointer: &str, faults: &mut Vec<Fault>) {
        let mut names: BTreeSet<&str> = self.literal_keys().filter(|name| !self.rename.contains_key(*name)).collect();
        for (source, target) in &self.rename {
            let pointer = || format!("{pointer}/{}", escape_pointer_token(source));
            if !self.selects(source) {
                faults.push(Fault::new(pointer(), "renames a key that keys does not select"));
            } else if !names.insert(target) {
                faults.push(Fault::new(pointer(), "gives a name that another key of this secret has"));
            }
        }
    }

    /// Whether a key is selected.
    pub(super) fn selects(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.matches(key))
    }

    /// The name of a key after `rename` and `prefix`.
    pub(super) fn final_name<'a>(&'a self, key: &'a str) -> Cow<'a, str> {
        let name = self.rename.get(key).map_or(key, String::as_str);
        if self.prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{}{name}", self.prefix)) }
    }

    /// Whether the policy contains the final name of this key literally: as a `rename` target, or in `keys` without a
    /// wildcard. False if there is a prefix, because the policy then does not contain the whole name.
    pub(super) fn has_literal_final_name(&self, key: &str) -> bool {
        self.prefix.is_empty() && (self.rename.contains_key(key) || self.literal_keys().any(|literal| literal == key))
    }

    /// The keys that a required secret must have: those in `keys` without a wildcard, and those in `rename`.
    pub(super) fn required_keys(&self) -> impl Iterator<Item = &str> {
        self.literal_keys().chain(self.rename.keys().map(String::as_str))
    }

    fn literal_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().flat_map(Patterns::literals)
    }
}

fn compile_rename(
    entries: &BTreeMap<String, Option<String>>,
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> BTreeMap<String, String> {
    if entries.len() > MAX_ENTRIES {
        faults.push(Fault::new(pointer, "must have at most 1000 entries"));
        return BTreeMap::new();
    }
    let mut rename = BTreeMap::new();
    for (source, target) in entries {
        let detail = match (target, Glob::parse(source).map(|glob| glob.as_literal().is_some())) {
            (None, _) => "must be a string",
            (Some(target), _) if target.is_empty() => "must not be empty",
            (Some(target), _) if target.len() > MAX_NAME_BYTES => "must have at most 1024 bytes",
            (Some(_), Ok(false)) => "renames one key, not all that fit a pattern",
            (Some(_), Err(_)) => "renames a key that keys cannot name",
            (Some(target), Ok(true)) => {
                rename.insert(source.clone(), target.clone());
                continue;
            }
        };
        faults.push(Fault::new(format!("{pointer}/{}", escape_pointer_token(source)), detail));
    }
    rename
}
