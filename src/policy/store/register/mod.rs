//! The policies of files, database and clusters as one active set. `api` implements the port for the admin API, `resources` takes over
//! custom resources.
//!
//! Names are unique. A file takes precedence over the database, and the database over custom resources, whichever came
//! first. So all replicas agree, and a stored policy cannot block a file's policy by taking its name first.

mod api;
mod resources;

use super::compiled::{Broken, Compiled};
use super::port::StoredPolicy;
use super::records::Records;
use crate::database::{Database, Failed, Listener};
use crate::model::clock::Clock;
use crate::policy::bounds::Bounds;
use crate::policy::directory::{Directory, FileFault, Reloaded};
use crate::policy::resources::{ActiveResource, Reason, Resources};
use crate::policy::set::PolicySet;
use crate::policy::slots::SetDifference;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Observes the active policies and the faults of files.
pub trait Observer: Send + Sync {
    /// A new set is active, which differs from the one before by this.
    fn in_force(&self, set: &PolicySet, difference: &SetDifference);

    /// The files were read, and have this many faults.
    fn file_faults(&self, count: usize);

    /// So many custom resources of a cluster have each reason.
    fn resources(&self, cluster: &str, counts: &BTreeMap<Reason, usize>);
}

impl Observer for () {
    fn in_force(&self, _set: &PolicySet, _difference: &SetDifference) {}

    fn file_faults(&self, _count: usize) {}

    fn resources(&self, _cluster: &str, _counts: &BTreeMap<Reason, usize>) {}
}

/// All policies of this server.
pub struct PolicyRegister {
    records: Records,
    bounds: Bounds,
    in_force: Arc<ArcSwap<PolicySet>>,
    /// The policies of the files, by name, for reads without the lock.
    files: ArcSwap<BTreeMap<String, StoredPolicy>>,
    /// The policies of clusters that are in force, by name.
    resources: ArcSwap<BTreeMap<Arc<str>, ActiveResource>>,
    /// Told whenever a status of a custom resource may have become another one.
    statuses: watch::Sender<()>,
    state: Mutex<RegisterState>,
    observer: Box<dyn Observer>,
}

/// State that changes together.
struct RegisterState {
    directory: Option<Directory>,
    compiled: Compiled,
    /// By cluster, in the order in which their names count.
    resources: Vec<Resources>,
    file_faults: Vec<FileFault>,
    /// Names that both the database and a file have.
    contested: BTreeSet<String>,
    unreachable: bool,
}

/// Why the policies cannot be activated.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The database cannot be read.
    #[error("the stored policies cannot be read")]
    Database(#[from] Failed),
    /// Stored deny policies do not compile on this server. Without them requests would be allowed that should be
    /// denied.
    #[error("stored deny policies are not good")]
    BrokenDeny(Vec<String>),
}

impl PolicyRegister {
    /// Reads all stored policies and activates them together with those of the directory.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn open(
        directory: Option<Directory>,
        database: Database,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        observer: Box<dyn Observer>,
    ) -> Result<Self, RegisterError> {
        let records = Records::new(database, clock);
        let mut compiled = Compiled::default();
        let broken = compiled.take_over(records.all().await?, &bounds);
        if broken.iter().any(|broken| broken.denies) {
            let denying = broken.iter().filter(|broken| broken.denies);
            return Err(RegisterError::BrokenDeny(denying.map(ToString::to_string).collect()));
        }
        log_broken(&broken);
        let state = RegisterState {
            directory,
            compiled,
            resources: Vec::new(),
            file_faults: Vec::new(),
            contested: BTreeSet::new(),
            unreachable: false,
        };
        let register = Self {
            records,
            bounds,
            in_force: Arc::default(),
            files: ArcSwap::default(),
            resources: ArcSwap::default(),
            statuses: watch::Sender::new(()),
            state: Mutex::new(state),
            observer,
        };
        {
            let mut state = register.state.lock().await;
            register.list_files(&state);
            register.put_in_force(&mut state);
        }
        Ok(register)
    }

    /// The active set, replaced as a whole.
    #[must_use]
    pub fn in_force(&self) -> Arc<ArcSwap<PolicySet>> {
        self.in_force.clone()
    }

    /// Waits for writes of other replicas; needs a runtime.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.records.listen()
    }

    /// Applies writes since the last call. If the database cannot be read, nothing changes.
    pub async fn catch_up(&self) {
        let mut state = self.state.lock().await;
        match self.records.since(state.compiled.seen()).await {
            Ok(changes) => {
                if std::mem::take(&mut state.unreachable) {
                    tracing::info!("stored policies are available again");
                }
                if changes.all || !changes.records.is_empty() {
                    log_broken(&state.compiled.take_over(changes, &self.bounds));
                    self.put_in_force(&mut state);
                    tracing::info!(policies = self.in_force.load().len(), "policies changed");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut state.unreachable, true) {
                    tracing::error!(
                        kind = error.kind(),
                        "stored policies are unavailable; keeping the policies in force"
                    );
                }
            }
        }
    }

    /// Reads the directory again. A file with a fault keeps its last valid policies, and if no file is left, all
    /// keep theirs.
    pub async fn reread_files(&self) {
        self.reread(Directory::reload).await;
    }

    /// Reads the directory again at an operator's request. If no file is left, no policies of files remain.
    pub async fn reread_files_confirmed(&self) {
        self.reread(Directory::reload_confirmed).await;
    }

    async fn reread(&self, reload: fn(&mut Directory) -> Reloaded) {
        let mut state = self.state.lock().await;
        let Some(mut directory) = state.directory.take() else { return };
        let read = tokio::task::spawn_blocking(move || {
            let reloaded = reload(&mut directory);
            (directory, reloaded)
        });
        // Only a panic while reading loses the directory; the active set stays.
        let Ok((directory, reloaded)) = read.await else {
            tracing::error!("the policy directory is unreadable; keeping the policies in force");
            return;
        };
        state.directory = Some(directory);
        if reloaded.changed {
            self.list_files(&state);
            self.put_in_force(&mut state);
            tracing::info!(policies = self.in_force.load().len(), "policies changed");
        }
        self.observer.file_faults(reloaded.faults.len());
        if reloaded.faults != state.file_faults {
            for fault in &reloaded.faults {
                tracing::error!(%fault, "a policy file is invalid; keeping its last valid version in force");
            }
            if reloaded.faults.is_empty() {
                tracing::info!("all policy files are valid again");
            }
            state.file_faults = reloaded.faults;
        }
    }

    fn list_files(&self, state: &RegisterState) {
        let listed = state.directory.as_ref().map(Directory::listed).unwrap_or_default();
        let by_name = listed.into_iter().map(|policy| (policy.name.clone(), policy));
        self.files.store(Arc::new(by_name.collect()));
    }

    fn put_in_force(&self, state: &mut RegisterState) {
        let files = self.files.load();
        let (contested, free): (Vec<_>, Vec<_>) =
            state.compiled.policies().partition(|(name, _)| files.contains_key(*name));
        for (name, policy) in contested.iter().filter(|(name, _)| !state.contested.contains(*name)) {
            let effect = if policy.denies() { "deny" } else { "allow" };
            tracing::error!(policy = name, effect, "a stored policy is not in force; a policy file has the same name");
        }
        let of_files = state.directory.as_ref().map(Directory::policies).unwrap_or_default();
        let stored = free.into_iter().map(|(_, policy)| policy.clone());
        let mut policies: Vec<_> = of_files.into_iter().chain(stored).collect();
        state.contested = contested.into_iter().map(|(name, _)| name.to_owned()).collect();
        policies.extend(self.resolve_resource_names(&files, &state.compiled, &mut state.resources));
        let unread = state.resources.iter().filter(|resources| !resources.is_read());
        // Only this function stores a set, under the lock: what it replaces is what it was made from.
        let (set, difference) = self.in_force.load().replaced(policies);
        let set = set.without(unread.map(|resources| resources.cluster().clone()));
        self.observer.in_force(&set, &difference);
        self.in_force.store(Arc::new(set));
    }
}

fn log_broken(broken: &[Broken]) {
    for broken in broken {
        let consequence = if broken.denies { "its last valid version stays in force" } else { "it is out of force" };
        tracing::error!(%broken, consequence, "a stored policy is invalid on this server");
    }
}
