//! Policies from a directory of YAML files, with the last valid version of each file.
//!
//! Reading blocks. `app` decides when to reload.

mod file_fault;
mod read;

pub use file_fault::FileFault;

use super::bounds::Bounds;
use super::matching::Policy;
use super::store::port::{PolicySource, StoredPolicy};
use crate::document::Fault;
use read::ValidFile;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The active policies, by file. Their names are distinct.
type Files = BTreeMap<OsString, ValidFile>;

/// A directory of policies.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    bounds: Bounds,
    files: Files,
}

/// The result of a reload.
#[derive(Debug)]
pub struct Reloaded {
    /// Whether the active policies have changed.
    pub changed: bool,
    /// Faults of files whose last valid version stays active.
    pub faults: Vec<FileFault>,
}

impl Directory {
    /// A directory that has not been read.
    pub(in crate::policy) fn new(path: &Path, bounds: Bounds) -> Self {
        Self { path: path.to_owned(), bounds, files: Files::new() }
    }

    /// Reads a directory for the first time.
    ///
    /// # Errors
    /// Any fault in any file: there is no last valid version yet.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, Vec<FileFault>> {
        let mut directory = Self::new(path, bounds);
        let faults = directory.reload().faults;
        if faults.is_empty() { Ok(directory) } else { Err(faults) }
    }

    /// Reads the directory again. A file with a fault keeps its last valid version, and a removed file loses its
    /// policies. If the directory cannot be read, or if no file is left, nothing changes: an unmounted volume and
    /// an unfinished checkout look the same. [`Directory::reload_confirmed`] accepts an empty directory.
    pub fn reload(&mut self) -> Reloaded {
        self.read(false)
    }

    /// Reads the directory again at an operator's request. If no file is left, no policies remain.
    pub fn reload_confirmed(&mut self) -> Reloaded {
        self.read(true)
    }

    fn read(&mut self, confirmed: bool) -> Reloaded {
        let names = match read::list(&self.path) {
            Ok(names) => names,
            Err(fault) => {
                let fault = FileFault { file: ".".into(), document: None, fault };
                return Reloaded { changed: false, faults: vec![fault] };
            }
        };
        let confirmed = confirmed && names.is_empty();
        let mut faults = Vec::new();
        let mut next = Files::new();
        for name in names {
            let known = self.files.get(&name);
            match read::file(&self.path, &name, known, &self.bounds) {
                Ok(good) => {
                    next.insert(name, good);
                }
                Err(found) => {
                    faults.extend(found);
                    next.extend(known.map(|good| (name, good.clone())));
                }
            }
        }
        self.revert_conflicts(&mut next, &mut faults);
        if next.is_empty() && !self.files.is_empty() && !confirmed {
            let detail = "has no good policy file left; send SIGHUP or restart to put all of its policies out of force";
            faults.push(FileFault { file: ".".into(), document: None, fault: Fault::new("", detail) });
            return Reloaded { changed: false, faults };
        }
        let changed = !same_policies(&self.files, &next);
        self.files = next;
        Reloaded { changed, faults }
    }

    /// The active policies.
    #[must_use]
    pub fn policies(&self) -> Vec<Arc<Policy>> {
        self.files.values().flat_map(|good| good.policies.iter().cloned()).collect()
    }

    /// The active policies as the API returns them.
    #[must_use]
    pub fn listed(&self) -> Vec<StoredPolicy> {
        let of_file = |(file, good): (&OsString, &ValidFile)| -> Vec<StoredPolicy> {
            let listed = good.policies.iter().zip(&good.specs).map(|(policy, spec)| StoredPolicy {
                name: policy.name().to_string(),
                revision: policy.revision().to_string(),
                created_at: good.modified,
                updated_at: good.modified,
                updated_by: file.to_string_lossy().into_owned(),
                source: PolicySource::File,
                spec: spec.clone(),
            });
            listed.collect()
        };
        self.files.iter().flat_map(of_file).collect()
    }

    /// Reverts every file that uses a policy name of another file. The reverted version may conflict with a third
    /// file, so this is repeated until all names are distinct. It ends, because each round reverts a file and the
    /// previously active versions had distinct names.
    fn revert_conflicts(&self, next: &mut Files, faults: &mut Vec<FileFault>) {
        loop {
            let mut taken_back = false;
            for (file, document) in name_conflicts(next) {
                let fault = FileFault {
                    file: file.to_string_lossy().into_owned(),
                    document: Some(document),
                    fault: Fault::new("/metadata/name", "is the name of a policy in another file too"),
                };
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                let Some(current) = next.get(&file) else { continue };
                match self.files.get(&file) {
                    Some(good) if good.digest == current.digest => {}
                    Some(good) => {
                        next.insert(file, good.clone());
                        taken_back = true;
                    }
                    None => {
                        next.remove(&file);
                        taken_back = true;
                    }
                }
            }
            if !taken_back {
                return;
            }
        }
    }
}

/// The documents whose policy name is also used in another file.
fn name_conflicts(files: &Files) -> Vec<(OsString, usize)> {
    let mut by_name: BTreeMap<&str, Vec<(&OsString, usize)>> = BTreeMap::new();
    for (file, good) in files {
        for (index, policy) in good.policies.iter().enumerate() {
            by_name.entry(policy.name()).or_default().push((file, index + 1));
        }
    }
    let clashing = by_name.into_values().filter(|places| places.len() > 1).flatten();
    clashing.map(|(file, document)| (file.clone(), document)).collect()
}

fn same_policies(before: &Files, after: &Files) -> bool {
    let all = |files: &Files| -> BTreeSet<(Arc<str>, Arc<str>)> {
        let policies = files.values().flat_map(|good| &good.policies);
        policies.map(|policy| (policy.name().clone(), policy.revision().clone())).collect()
    };
    all(before) == all(after)
}
