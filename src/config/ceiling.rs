//! An entry of `policies.ceiling` or of the `ceiling` of a tenant: a store, and a prefix of paths in it.

use super::fault_collector::FaultCollector;
use crate::model::path_segment;
use serde::Deserialize;
use std::sync::Arc;

/// A validated entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingEntry {
    /// The store.
    pub store: Arc<str>,
    /// The leading segments of allowed paths, decoded, without a slash at either end. Empty: all paths.
    pub path_prefix: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawCeilingEntry {
    store: Option<String>,
    path_prefix: Option<String>,
}

impl RawCeilingEntry {
    /// `parse` parses and decodes the prefix.
    pub(super) fn validate(
        self,
        pointer: &str,
        stores: &[String],
        parse: fn(String) -> Result<String, &'static str>,
        faults: &mut FaultCollector,
    ) -> Option<CeilingEntry> {
        let store_pointer = format!("{pointer}/store");
        let store = faults.require(&store_pointer, self.store);
        if store.as_ref().is_some_and(|name| !stores.contains(name)) {
            faults.record(store_pointer, "must be the name of a store");
        }
        // Required, so that a missing prefix does not allow the whole store.
        let path_prefix = faults.require_parsed(&format!("{pointer}/pathPrefix"), self.path_prefix, parse);
        Some(CeilingEntry { store: store?.into(), path_prefix: path_prefix? })
    }
}

/// Parses the prefix of an entry of `policies.ceiling`.
pub(super) fn parse_path_prefix(prefix: String) -> Result<String, &'static str> {
    decode_prefix(prefix, |_| false)
}

/// Decodes the segments of a prefix, except placeholders.
pub(super) fn decode_prefix(prefix: String, is_placeholder: impl Fn(&str) -> bool) -> Result<String, &'static str> {
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
