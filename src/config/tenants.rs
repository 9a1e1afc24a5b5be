//! `policies.tenants`: which secrets the policies of a namespace may reach.

use super::ceiling::{CeilingEntry, RawCeilingEntry, decoded_prefix};
use super::check::Check;
use serde::Deserialize;

/// What a segment of a prefix is written as to stand for the namespace of the policy.
pub const NAMESPACE: &str = "{namespace}";

/// One checked entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Patterns of namespaces; at least one. They are compiled where policies are.
    pub namespaces: Vec<String>,
    /// What their policies may reach; at least one entry. A segment of a prefix may be [`NAMESPACE`].
    pub ceiling: Vec<CeilingEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawTenant {
    namespaces: Option<Vec<Option<String>>>,
    ceiling: Option<Vec<Option<RawCeilingEntry>>>,
}

impl RawTenant {
    pub(super) fn check(self, at: &str, stores: &[String], check: &mut Check) -> Option<Tenant> {
        let namespaces_at = format!("{at}/namespaces");
        let mut namespaces = Vec::new();
        for (index, pattern) in self.namespaces.unwrap_or_default().into_iter().enumerate() {
            namespaces.push(check.text(&format!("{namespaces_at}/{index}"), pattern)?);
        }
        if namespaces.is_empty() {
            check.fault(namespaces_at, "must have at least one pattern");
        }
        let ceiling_at = format!("{at}/ceiling");
        let raw = self.ceiling.unwrap_or_default();
        if raw.is_empty() {
            check.fault(&*ceiling_at, "must have at least one entry");
        }
        let mut ceiling = Vec::new();
        for (index, entry) in raw.into_iter().enumerate() {
            let at = format!("{ceiling_at}/{index}");
            ceiling.push(check.required(&at, entry)?.check(&at, stores, path_prefix, check)?);
        }
        Some(Tenant { namespaces, ceiling })
    }
}

fn path_prefix(prefix: String) -> Result<String, &'static str> {
    if prefix.split('/').any(|segment| segment != NAMESPACE && segment.contains(['{', '}'])) {
        return Err("the only placeholder is {namespace}, and it must stand alone between slashes");
    }
    decoded_prefix(prefix, |segment| segment == NAMESPACE)
}
