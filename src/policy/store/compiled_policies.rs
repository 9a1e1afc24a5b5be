//! The compiled policies of the database.
//!
//! A stored policy may fail to compile on a server with other stores, other limits or another version. An allow policy
//! then becomes inactive. A deny policy must not disappear: its last valid version stays active, and if this server has none, as
//! after a start, the broadest deny policy of its valid fields is active.

use super::records::{PolicyChanges, PolicyRow};
use crate::document::{Fault, prune};
use crate::model::may_deny::may_deny;
use crate::policy::bounds::Bounds;
use crate::policy::broadest_deny::InvalidSpec;
use crate::policy::compile::{SpecOrigin, compile_spec};
use crate::policy::compiled_policy::Policy;
use crate::policy::manifest::add_compile_faults;
use crate::wire::policy::PolicySpec;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The policies of the database as of the last read, compiled.
#[derive(Debug, Default)]
pub struct CompiledPolicies {
    /// The revision up to which the writes of all replicas were applied.
    last_revision: i64,
    by_name: BTreeMap<String, CompiledRevision>,
}

/// One policy at its last known revision.
#[derive(Debug)]
struct CompiledRevision {
    revision: i64,
    /// The policy that is active; `None` if this revision is an invalid allow policy.
    policy: Option<Arc<Policy>>,
    /// `None` if this revision is valid.
    invalid: Option<Arc<InvalidPolicy>>,
}

impl CompiledRevision {
    /// The active policy, if it is an enforced deny policy of a valid version.
    fn into_valid_deny(self) -> Option<Arc<Policy>> {
        let is_valid = self.invalid.is_none_or(|invalid| invalid.substitute == Substitute::LastValidDeny);
        self.policy.filter(|policy| is_valid && policy.denies() && !policy.is_shadow())
    }
}

/// The policy that is active in place of an invalid revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Substitute {
    /// No policy: the revision does not deny.
    Nothing,
    /// The last valid version, an enforced deny policy.
    LastValidDeny,
    /// The broadest deny policy of the fields without faults.
    BroadestDeny,
}

/// A stored policy that does not compile on this server.
#[derive(Debug)]
pub struct InvalidPolicy {
    name: String,
    faults: Vec<Fault>,
    /// What is active instead.
    pub substitute: Substitute,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored policy {}", self.name)?;
        for (index, fault) in self.faults.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{}: {}", fault.dotted_path(), fault.detail)?;
        }
        Ok(())
    }
}

impl CompiledPolicies {
    pub const fn last_revision(&self) -> i64 {
        self.last_revision
    }

    /// The active policies, with their names.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Arc<Policy>)> {
        self.by_name.iter().filter_map(|(name, compiled)| Some((name.as_str(), compiled.policy.as_ref()?)))
    }

    /// Whether the database has a policy with this name, valid or not.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The policies whose last revision does not compile.
    pub fn invalid_policies(&self) -> impl Iterator<Item = &InvalidPolicy> {
        self.by_name.values().filter_map(|compiled| compiled.invalid.as_deref())
    }

    /// Applies changes. Returns the changed policies that do not compile.
    pub fn apply(&mut self, changes: PolicyChanges, bounds: &Bounds) -> Vec<Arc<InvalidPolicy>> {
        if changes.is_complete {
            let present: BTreeSet<&str> = changes.policies.iter().map(|(name, _)| name.as_str()).collect();
            self.by_name.retain(|name, _| present.contains(name.as_str()));
        }
        self.last_revision = changes.last_revision;
        let mut invalid = Vec::new();
        for (name, row) in changes.policies {
            match row {
                // Writes of this replica were applied already. If all policies were read, this is not checked: a restored
                // database may use the same revision again.
                Some(row) if !changes.is_complete && self.has_revision_of(&row) => {}
                Some(row) => invalid.extend(self.compile(&row, bounds)),
                None => self.remove(&name),
            }
        }
        invalid
    }

    /// Applies a write of this replica. Earlier writes of other replicas may still be missing.
    pub fn insert(&mut self, policy: Arc<Policy>, revision: i64) {
        self.by_name
            .insert(policy.name().to_string(), CompiledRevision { revision, policy: Some(policy), invalid: None });
    }

    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    fn has_revision_of(&self, row: &PolicyRow) -> bool {
        self.by_name.get(&row.name).is_some_and(|compiled| compiled.revision == row.revision)
    }

    /// Compiles a stored policy. Returns it with its faults if it is invalid.
    fn compile(&mut self, row: &PolicyRow, bounds: &Bounds) -> Option<Arc<InvalidPolicy>> {
        let PolicyRow { name, revision, spec, .. } = row;
        let spec = serde_json::from_str::<Value>(spec).ok();
        let faults = match compile_stored(name, spec.clone(), bounds) {
            Ok(policy) => {
                if policy.has_ambiguous_claim() {
                    tracing::warn!(
                        policy = %name,
                        "a claim of this stored policy is a pattern that looks like a name, as in dependabot[bot]; a pattern \
                         is not that name, and only a deny policy is taken to mean it as well: write it as {{is: \"...\"}}"
                    );
                }
                self.insert(Arc::new(policy), *revision);
                return None;
            }
            Err(faults) => faults,
        };
        let last_valid_deny = self.by_name.remove(name).and_then(CompiledRevision::into_valid_deny);
        let (policy, substitute) = match last_valid_deny {
            _ if !spec.as_ref().is_none_or(may_deny) => (None, Substitute::Nothing),
            Some(policy) => (Some(policy), Substitute::LastValidDeny),
            None => {
                let invalid = InvalidSpec { spec: spec.as_ref(), faults: &faults, is_namespaced: false, bounds };
                let broadest = invalid.compile_broadest_deny(|spec| compile_stored(name, Some(spec), bounds).ok());
                (broadest.map(Arc::new), Substitute::BroadestDeny)
            }
        };
        let invalid = Arc::new(InvalidPolicy { name: name.clone(), faults, substitute });
        let compiled = CompiledRevision { revision: *revision, policy, invalid: Some(invalid.clone()) };
        self.by_name.insert(name.clone(), compiled);
        Some(invalid)
    }
}

/// Compiles the spec of a stored policy; `None` if it is not JSON.
///
/// # Errors
/// All faults with their JSON pointers, at or below `/spec`. The name is not checked, because it was checked when the policy was
/// stored.
fn compile_stored(name: &str, spec: Option<Value>, bounds: &Bounds) -> Result<Policy, Vec<Fault>> {
    let Some(mut spec) = spec else { return Err(vec![Fault::new("/spec", "cannot be parsed")]) };
    let (decoded, decode_faults) = prune::<PolicySpec>(&mut spec);
    let mut faults: Vec<Fault> =
        decode_faults.into_iter().map(|fault| Fault::new(format!("/spec{}", fault.pointer), fault.detail)).collect();
    let mut compile_faults = Vec::new();
    let policy = compile_spec(name, &decoded.unwrap_or_default(), bounds, SpecOrigin::Stored, &mut compile_faults);
    add_compile_faults(&mut faults, compile_faults);
    policy.filter(|_| faults.is_empty()).ok_or(faults)
}
