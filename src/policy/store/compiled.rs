//! The stored policies, compiled.
//!
//! A stored policy may not compile on a server with other stores, other limits or another version. An allow policy
//! then becomes inactive. A deny policy must not disappear: its last version stays active, and a start is refused.

use super::records::{Changes, Record};
use crate::document::Fault;
use crate::model::may_deny::may_deny;
use crate::policy::bounds::Bounds;
use crate::policy::matching::Policy;
use crate::wire::policy::PolicySpec;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The known state of the database's policies.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The last known revision.
    seen: i64,
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    revision: i64,
    /// `None` if it did not compile.
    policy: Option<Arc<Policy>>,
}

/// A stored policy that does not compile on this server.
#[derive(Debug)]
pub struct Broken {
    name: String,
    faults: Vec<Fault>,
    /// Whether it denies, or its effect cannot be read.
    pub denies: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored policy {}", self.name)?;
        for (index, fault) in self.faults.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{}: {}", fault.dotted(), fault.detail)?;
        }
        Ok(())
    }
}

impl Compiled {
    pub const fn seen(&self) -> i64 {
        self.seen
    }

    /// The compiled policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Arc<Policy>)> {
        self.known.iter().filter_map(|(name, known)| Some((name.as_str(), known.policy.as_ref()?)))
    }

    /// Whether the database has a policy of this name, valid or not.
    pub fn has(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Applies changes. Returns the policies that do not compile.
    pub fn take_over(&mut self, changes: Changes, bounds: &Bounds) -> Vec<Broken> {
        if changes.all {
            let there: BTreeSet<&str> = changes.records.iter().map(|(name, _)| name.as_str()).collect();
            self.known.retain(|name, _| there.contains(name.as_str()));
        }
        self.seen = changes.head;
        let mut broken = Vec::new();
        for (name, record) in changes.records {
            match record {
                // Writes of this replica are known already. A restored database reuses revisions.
                Some(record) if !changes.all && self.knows(&record) => {}
                Some(record) => broken.extend(self.compile(&record, bounds)),
                None => self.remove(&name),
            }
        }
        broken
    }

    /// Applies a write of this replica; earlier writes of other replicas may still be unknown.
    pub fn put(&mut self, policy: Arc<Policy>, revision: i64) {
        self.known.insert(policy.name().to_string(), Known { revision, policy: Some(policy) });
    }

    pub fn remove(&mut self, name: &str) {
        self.known.remove(name);
    }

    fn knows(&self, record: &Record) -> bool {
        self.known.get(&record.name).is_some_and(|known| known.revision == record.revision)
    }

    fn compile(&mut self, record: &Record, bounds: &Bounds) -> Option<Broken> {
        let Record { name, revision, spec, .. } = record;
        let compiled = serde_json::from_str::<PolicySpec>(spec)
            .map_err(|_| vec![Fault::new("/spec", "cannot be read")])
            .and_then(|decoded| Policy::compile_stored(name, &decoded, bounds));
        match compiled {
            Ok(policy) => {
                if policy.has_doubtful_claim() {
                    tracing::warn!(
                        policy = %name,
                        "a claim of this stored policy is a pattern that looks like a name, as in dependabot[bot]; a pattern \
                         is not that name, and only a deny policy is taken to mean it as well: write it as {{is: \"...\"}}"
                    );
                }
                self.put(Arc::new(policy), *revision);
                None
            }
            Err(faults) => {
                let denies = serde_json::from_str(spec).map_or(true, |spec: Value| may_deny(&spec));
                let before = self.known.remove(name).and_then(|known| known.policy);
                let policy = before.filter(|before| denies && before.denies() && !before.is_shadow());
                self.known.insert(name.clone(), Known { revision: *revision, policy });
                Some(Broken { name: name.clone(), faults, denies })
            }
        }
    }
}
