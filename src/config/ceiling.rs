//! An entry of `policies.ceiling` or of a tenant's: a store, and the beginning of its paths.

use super::check::Check;
use crate::model::path_segment;
use serde::Deserialize;
use std::sync::Arc;

/// One entry of the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingEntry {
    /// The store.
    pub store: Arc<str>,
    /// Leading segments of the paths allowed there, decoded, without slashes at either end; empty allows the whole store.
    pub path_prefix: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawCeilingEntry {
    store: Option<String>,
    path_prefix: Option<String>,
}

impl RawCeilingEntry {
    /// `path_prefix` reads the prefix.
    pub(super) fn check(
        self,
        at: &str,
        stores: &[String],
        path_prefix: fn(String) -> Result<String, &'static str>,
        check: &mut Check,
    ) -> Option<CeilingEntry> {
        let store_at = format!("{at}/store");
        let store = check.required(&store_at, self.store);
        if store.as_ref().is_some_and(|name| !stores.contains(name)) {
            check.fault(store_at, "must be the name of a store");
        }
        let path_prefix_at = format!("{at}/pathPrefix");
        // The whole store is written as "" and never implied.
        let path_prefix = check
            .required(&path_prefix_at, self.path_prefix)
            .and_then(|prefix| check.noted(&path_prefix_at, path_prefix(prefix)));
        Some(CeilingEntry { store: store?.into(), path_prefix: path_prefix? })
    }
}

/// Reads the prefix of an entry of `policies.ceiling`.
pub(super) fn path_prefix(prefix: String) -> Result<String, &'static str> {
    decoded_prefix(prefix, |_| false)
}

/// Decodes the segments, except those that `is_placeholder` says are none.
pub(super) fn decoded_prefix(prefix: String, is_placeholder: impl Fn(&str) -> bool) -> Result<String, &'static str> {
    if prefix.is_empty() {
        return Ok(prefix);
    }
    let mut decoded: Vec<Box<str>> = Vec::new();
    for (index, segment) in prefix.split('/').enumerate() {
        if is_placeholder(segment) {
            decoded.push(segment.into());
            continue;
        }
        let segment = path_segment::decode_leniently(segment)?;
        if index == 0 && matches!(&*segment, "sys" | "auth" | "identity" | "cubbyhole") {
            return Err("must not begin with sys, auth, identity or cubbyhole: no policy may reach them");
        }
        decoded.push(segment);
    }
    Ok(decoded.join("/"))
}
