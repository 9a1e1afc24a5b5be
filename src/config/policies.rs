//! `policies`: where policies are read from, and an upper bound on all of them.

use super::check::Check;
use crate::model::path_segment;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Policies {
    /// A directory of YAML policies, read again on change.
    pub directory: Option<PathBuf>,
    /// If not empty, policies cannot grant any other secrets.
    pub ceiling: Vec<CeilingEntry>,
}

/// One entry of the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingEntry {
    /// The store.
    pub store: Arc<str>,
    /// Required leading path segments, decoded, without slashes at either end; empty allows the whole store.
    pub path_prefix: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawPolicies {
    directory: Option<String>,
    ceiling: Option<Vec<Option<RawCeilingEntry>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawCeilingEntry {
    store: Option<String>,
    path_prefix: Option<String>,
}

impl RawPolicies {
    /// `stores` has the names of all stores, including entries with faults.
    pub(super) fn check(self, stores: &[String], check: &mut Check) -> Policies {
        let directory = check.directory_if_set("/policies/directory", self.directory);
        let mut ceiling = Vec::new();
        for (index, raw) in self.ceiling.into_iter().flatten().enumerate() {
            let at = format!("/policies/ceiling/{index}");
            ceiling.extend(check.required(&at, raw).and_then(|raw| raw.check(&at, stores, check)));
        }
        Policies { directory, ceiling }
    }
}

impl RawCeilingEntry {
    fn check(self, at: &str, stores: &[String], check: &mut Check) -> Option<CeilingEntry> {
        let store_at = format!("{at}/store");
        let store = check.required(&store_at, self.store);
        if store.as_ref().is_some_and(|name| !stores.contains(name)) {
            check.fault(store_at, "must be the name of a store");
        }
        let path_prefix_at = format!("{at}/pathPrefix");
        // The whole store must be written as "", it is never a default.
        let path_prefix = check
            .required(&path_prefix_at, self.path_prefix)
            .and_then(|prefix| check.noted(&path_prefix_at, path_prefix(prefix)));
        Some(CeilingEntry { store: store?.into(), path_prefix: path_prefix? })
    }
}

fn path_prefix(prefix: String) -> Result<String, &'static str> {
    if prefix.is_empty() {
        return Ok(prefix);
    }
    let mut decoded = Vec::new();
    for (index, segment) in prefix.split('/').enumerate() {
        let segment = path_segment::decode_leniently(segment)?;
        if index == 0 && matches!(&*segment, "sys" | "auth" | "identity" | "cubbyhole") {
            return Err("must not begin with sys, auth, identity or cubbyhole: no policy may reach them");
        }
        decoded.push(segment);
    }
    Ok(decoded.join("/"))
}
