//! Merges the values of the granted secrets into the entries of a bundle.

use super::base64_value;
use super::outcome::GrantedSecret;
use crate::model::bundle::Entry;
use crate::model::lease::Encoding;
use crate::model::secret::{Secret, SecretValue};
use crate::model::secret_ref::SecretRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A granted secret and the result of its read.
pub type SecretRead = (GrantedSecret, Result<Arc<Secret>, Absence>);

/// In which way a secret does not exist. Policies treat both cases the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absence {
    /// It never existed.
    Absent,
    /// It was deleted or destroyed.
    Deleted,
}

/// The merged values of the granted secrets.
#[derive(Debug, PartialEq, Eq)]
pub struct MergedSecrets {
    /// The values by final name.
    pub entries: BTreeMap<String, Entry>,
    /// Number of distinct granted secrets that do not exist.
    pub missing: usize,
    /// Whether a secret comes from an expired cache entry of an unreachable store.
    pub stale: bool,
}

/// Why secrets cannot be merged. No message contains a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A required secret does not exist.
    #[error("a required secret does not exist")]
    SecretNotFound(SecretRef),
    /// A required secret lacks a key that the policy names, or the key is null.
    #[error("a required key is not in its secret")]
    KeyAbsent {
        secret: SecretRef,
        /// The key, by its name in the store.
        key: String,
    },
    /// A value that the policy declares as base64 is not valid base64.
    #[error("the value of the key {key:?} is not base64, as the policy's encoding says")]
    NotBase64 {
        secret: SecretRef,
        /// The key, by its name in the store.
        key: String,
    },
}

/// Merges the secrets in the order granted. Of several keys with the same final name the last is used; the keys of one secret are
/// in bytewise order. With `requested_names`, only these final names are returned.
///
/// # Errors
/// The first required secret or key, in the order granted, that does not exist; keys must exist even if they are not in
/// `requested_names`. If all exist, the first value, by final name, that is not base64.
pub fn merge(reads: &[SecretRead], requested_names: Option<&[String]>) -> Result<MergedSecrets, MergeError> {
    let requested_names: Option<BTreeSet<&str>> =
        requested_names.map(|names| names.iter().map(String::as_str).collect());
    let mut selected: BTreeMap<String, SelectedValue<'_>> = BTreeMap::new();
    let mut missing = BTreeSet::new();
    let mut stale = false;
    for (granted, result) in reads {
        let Ok(secret) = result else {
            if granted.required {
                return Err(MergeError::SecretNotFound(granted.secret.clone()));
            }
            missing.insert(&granted.secret);
            continue;
        };
        if granted.required {
            check_required_keys(granted, secret)?;
        }
        stale |= secret.stale;
        for (key, value) in &secret.data {
            let Some(value) = value.as_ref().filter(|_| granted.key_selection.selects(key)) else { continue };
            let name = granted.key_selection.final_name(key);
            if requested_names.as_ref().is_none_or(|names| names.contains(&*name)) {
                selected.insert(name.into_owned(), SelectedValue { granted, key, value });
            }
        }
    }
    // Values are copied only now, so that replaced values are never copied.
    let entries = selected.into_iter().map(|(name, value)| Ok((name, value.to_entry()?))).collect::<Result<_, _>>()?;
    Ok(MergedSecrets { entries, missing: missing.len(), stale })
}

/// A value of the result, with the secret and key that it comes from.
struct SelectedValue<'a> {
    granted: &'a GrantedSecret,
    key: &'a str,
    value: &'a SecretValue,
}

impl SelectedValue<'_> {
    fn to_entry(&self) -> Result<Entry, MergeError> {
        let Self { granted, key, value } = *self;
        let named_by_policy = granted.key_selection.has_literal_final_name(key);
        let is_base64 = granted.encoding == Encoding::Base64;
        let value = if is_base64 {
            let not_base64 = || MergeError::NotBase64 { secret: granted.secret.clone(), key: key.to_owned() };
            base64_value::to_canonical(value).ok_or_else(not_base64)?
        } else {
            value.clone()
        };
        Ok(Entry { value, named_by_policy, is_base64 })
    }
}

fn check_required_keys(granted: &GrantedSecret, secret: &Secret) -> Result<(), MergeError> {
    let absent = |key: &&str| secret.data.get(*key).is_none_or(Option::is_none);
    match granted.key_selection.required_keys().find(absent) {
        Some(key) => Err(MergeError::KeyAbsent { secret: granted.secret.clone(), key: key.to_owned() }),
        None => Ok(()),
    }
}
