//! `policies.tenants`: the secrets that the policies of a namespace may grant.

use super::ceiling::{CeilingEntry, RawCeilingEntry, decode_prefix};
use super::fault_collector::FaultCollector;
use serde::Deserialize;

/// The placeholder for the namespace of the policy: a whole segment of a prefix.
pub const NAMESPACE_PLACEHOLDER: &str = "{namespace}";

/// A validated entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Patterns of namespaces, at least one. The module `policy` compiles them.
    pub namespaces: Vec<String>,
    /// The secrets that their policies may grant, at least one entry. A segment of a prefix may be [`NAMESPACE_PLACEHOLDER`].
    pub ceiling: Vec<CeilingEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawTenant {
    namespaces: Option<Vec<Option<String>>>,
    ceiling: Option<Vec<Option<RawCeilingEntry>>>,
}

impl RawTenant {
    pub(super) fn validate(self, pointer: &str, stores: &[String], faults: &mut FaultCollector) -> Tenant {
        let namespaces_pointer = format!("{pointer}/namespaces");
        faults.require_entries(&namespaces_pointer, self.namespaces.as_ref(), "must have at least one pattern");
        let namespaces = faults.validate_each(&namespaces_pointer, self.namespaces, |pattern, pointer, faults| {
            faults.require_text(pointer, Some(pattern))
        });
        let ceiling_pointer = format!("{pointer}/ceiling");
        faults.require_entries(&ceiling_pointer, self.ceiling.as_ref(), "must have at least one entry");
        let ceiling =
            faults.validate_each(&ceiling_pointer, self.ceiling, |entry: RawCeilingEntry, pointer, faults| {
                entry.validate(pointer, stores, parse_path_prefix, faults)
            });
        Tenant { namespaces, ceiling }
    }
}

fn parse_path_prefix(prefix: String) -> Result<String, &'static str> {
    if prefix.split('/').any(|segment| segment != NAMESPACE_PLACEHOLDER && segment.contains(['{', '}'])) {
        return Err("the only placeholder is {namespace}, and it must stand alone between slashes");
    }
    decode_prefix(prefix, |segment| segment == NAMESPACE_PLACEHOLDER)
}
