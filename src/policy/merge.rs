//! What was granted and read becomes one set of entries.

use super::base64_value;
use super::outcome::GrantedSecret;
use crate::model::bundle::Entry;
use crate::model::lease::Encoding;
use crate::model::secret::{Secret, SecretValue};
use crate::model::secret_ref::SecretRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A granted secret and what its store said.
pub type Read = (GrantedSecret, Result<Arc<Secret>, Absence>);

/// There is no such secret. To policies both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absence {
    /// There never was one.
    Absent,
    /// There was one; it is deleted or destroyed.
    Deleted,
}

/// What the granted secrets make together.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// The values by their final names.
    pub entries: BTreeMap<String, Entry>,
    /// How many of the secrets do not exist.
    pub missing: usize,
    /// Whether any of those read is an older answer of a store that could not be reached.
    pub stale: bool,
}

/// Why they make nothing. No text of it holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A policy requires a secret that does not exist.
    #[error("a required secret does not exist")]
    SecretNotFound(SecretRef),
    /// A policy requires a secret and writes a key that is not in it, or is null.
    #[error("a required key is not in its secret")]
    KeyAbsent {
        /// The secret.
        secret: SecretRef,
        /// The key, by the store's name.
        key: String,
    },
    /// A policy says that a value is base64, and it is not.
    #[error("the value of the key {key:?} is not base64, as the policy's encoding says")]
    NotBase64 {
        /// The secret.
        secret: SecretRef,
        /// The key, by the store's name.
        key: String,
    },
}

/// Merges what was read, in the order granted: later keys replace earlier ones of the same final name, and within one
/// secret the key that is later in bytewise order does. With `wanted`, only these final names are taken.
///
/// # Errors
/// See [`MergeError`]; the first in the order granted. What the caller wants does not narrow what a policy requires.
pub fn merge(reads: &[Read], wanted: Option<&[String]>) -> Result<Merged, MergeError> {
    let wanted: Option<BTreeSet<&str>> = wanted.map(|names| names.iter().map(String::as_str).collect());
    let mut winners: BTreeMap<String, Winner<'_>> = BTreeMap::new();
    let mut missing = BTreeSet::new();
    let mut stale = false;
    for (granted, read) in reads {
        let Ok(secret) = read else {
            if granted.required {
                return Err(MergeError::SecretNotFound(granted.secret.clone()));
            }
            missing.insert(&granted.secret);
            continue;
        };
        if granted.required {
            check_keys(granted, secret)?;
        }
        stale |= secret.stale;
        for (key, value) in &secret.data {
            let Some(value) = value.as_ref().filter(|_| granted.rule.selects(key)) else { continue };
            let name = granted.rule.final_name(key);
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&*name)) {
                winners.insert(name.into_owned(), Winner { granted, key, value });
            }
        }
    }
    // Only now is anything copied: a value that is replaced never leaves its secret.
    let entries = winners.into_iter().map(|(name, winner)| Ok((name, winner.entry()?))).collect::<Result<_, _>>()?;
    Ok(Merged { entries, missing: missing.len(), stale })
}

/// A value that is handed over, and where it comes from.
struct Winner<'a> {
    granted: &'a GrantedSecret,
    key: &'a str,
    value: &'a SecretValue,
}

impl Winner<'_> {
    fn entry(&self) -> Result<Entry, MergeError> {
        let Self { granted, key, value } = *self;
        let named_by_policy = granted.rule.is_named(key);
        let is_base64 = granted.encoding == Encoding::Base64;
        let value = if is_base64 {
            let not_base64 = || MergeError::NotBase64 { secret: granted.secret.clone(), key: key.to_owned() };
            base64_value::canonical(value).ok_or_else(not_base64)?
        } else {
            value.clone()
        };
        Ok(Entry { value, named_by_policy, is_base64 })
    }
}

fn check_keys(granted: &GrantedSecret, secret: &Secret) -> Result<(), MergeError> {
    let absent = |key: &&str| secret.data.get(*key).is_none_or(Option::is_none);
    match granted.rule.written_keys().find(absent) {
        Some(key) => Err(MergeError::KeyAbsent { secret: granted.secret.clone(), key: key.to_owned() }),
        None => Ok(()),
    }
}
