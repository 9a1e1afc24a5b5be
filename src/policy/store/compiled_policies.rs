//! The compiled policies of the database.
//!
//! A stored policy may fail to compile on a server with other stores, other limits or another version. An allow policy
//! then becomes inactive. A deny policy must not disappear: a running server keeps its last valid version, and no server
//! starts while a stored deny policy is invalid.

use super::records::{PolicyChanges, PolicyRow};
use crate::document::Fault;
use crate::model::may_deny::may_deny;
use crate::policy::bounds::Bounds;
use crate::policy::compiled_policy::Policy;
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
    /// If this revision does not compile: for a deny policy its last valid version, otherwise `None`.
    policy: Option<Arc<Policy>>,
}

/// A stored policy that does not compile on this server.
#[derive(Debug)]
pub struct InvalidPolicy {
    name: String,
    faults: Vec<Fault>,
    /// Whether it denies, or its effect is unknown; false in shadow mode.
    pub may_deny: bool,
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

    /// The policies that have a valid version, with their names.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Arc<Policy>)> {
        self.by_name.iter().filter_map(|(name, compiled)| Some((name.as_str(), compiled.policy.as_ref()?)))
    }

    /// Whether the database has a policy with this name, valid or not.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Applies changes. Returns the changed policies that do not compile.
    pub fn apply(&mut self, changes: PolicyChanges, bounds: &Bounds) -> Vec<InvalidPolicy> {
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
        self.by_name.insert(policy.name().to_string(), CompiledRevision { revision, policy: Some(policy) });
    }

    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    fn has_revision_of(&self, row: &PolicyRow) -> bool {
        self.by_name.get(&row.name).is_some_and(|compiled| compiled.revision == row.revision)
    }

    /// Compiles a stored policy. Returns it with its faults if it is invalid.
    fn compile(&mut self, row: &PolicyRow, bounds: &Bounds) -> Option<InvalidPolicy> {
        let PolicyRow { name, revision, spec, .. } = row;
        let compiled = serde_json::from_str::<PolicySpec>(spec)
            .map_err(|_| vec![Fault::new("/spec", "cannot be parsed")])
            .and_then(|decoded| Policy::compile_stored(name, &decoded, bounds));
        match compiled {
            Ok(policy) => {
                if policy.has_ambiguous_claim() {
                    tracing::warn!(
                        policy = %name,
                        "a claim of this stored policy is a pattern that looks like a name, as in dependabot[bot]; a pattern \
                         is not that name, and only a deny policy is taken to mean it as well: write it as {{is: \"...\"}}"
                    );
                }
                self.insert(Arc::new(policy), *revision);
                None
            }
            Err(faults) => {
                let may_deny = serde_json::from_str(spec).map_or(true, |spec: Value| may_deny(&spec));
                let last_valid = self.by_name.remove(name).and_then(|compiled| compiled.policy);
                let policy = last_valid.filter(|policy| may_deny && policy.denies() && !policy.is_shadow());
                self.by_name.insert(name.clone(), CompiledRevision { revision: *revision, policy });
                Some(InvalidPolicy { name: name.clone(), faults, may_deny })
            }
        }
    }
}
