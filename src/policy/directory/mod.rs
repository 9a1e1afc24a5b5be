//! A directory of YAML files with policies. If a file becomes invalid, its last valid version stays active.
//!
//! Reading blocks the thread. `app` decides when to reload.

mod content;
mod file_fault;
mod read;

pub use file_fault::FileFault;

use super::bounds::Bounds;
use super::compiled_policy::Policy;
use super::store::port::{PolicyRecord, PolicySource};
use crate::document::Fault;
use content::Content;
use read::ValidFile;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The active version of each file, which is its last valid one. The names of the policies are distinct.
type Files = BTreeMap<OsString, ValidFile>;

/// Maximum number of attempts to read a directory whose content is replaced meanwhile.
const MAX_ATTEMPTS: usize = 5;

/// A directory of policies, with the active versions of its files.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    bounds: Bounds,
    files: Files,
}

/// The files as they were read.
#[derive(Debug, Default)]
struct ReadFiles {
    /// The valid files, and the active versions of invalid ones.
    files: Files,
    /// The faults of invalid files.
    faults: Vec<FileFault>,
    /// Whether there are no policy files.
    is_empty: bool,
}

/// The result of a reload.
#[derive(Debug)]
pub struct ReloadResult {
    /// Whether the active policies have changed.
    pub changed: bool,
    /// The faults of all invalid files; their last valid versions stay active.
    pub faults: Vec<FileFault>,
}

impl Directory {
    /// A directory that was not read yet.
    pub(in crate::policy) fn new(path: &Path, bounds: Bounds) -> Self {
        Self { path: path.to_owned(), bounds, files: Files::new() }
    }

    /// Reads a directory for the first time.
    ///
    /// # Errors
    /// All faults of all files, because there is no last valid version yet.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, Vec<FileFault>> {
        let mut directory = Self::new(path, bounds);
        let faults = directory.reload().faults;
        if faults.is_empty() { Ok(directory) } else { Err(faults) }
    }

    /// Reads the directory again. An invalid file keeps its last valid version; the policies of a removed file are removed.
    /// If the directory cannot be read or has no policy file, nothing changes, because the volume may be unmounted or a
    /// checkout unfinished. [`Directory::reload_confirmed`] accepts an empty directory.
    pub fn reload(&mut self) -> ReloadResult {
        self.read(false)
    }

    /// Reads the directory again at an operator's request. If it has no policy file, all policies are removed.
    pub fn reload_confirmed(&mut self) -> ReloadResult {
        self.read(true)
    }

    fn read(&mut self, confirmed: bool) -> ReloadResult {
        let ReadFiles { files: mut next, mut faults, is_empty } = match self.read_content() {
            Ok(read) => read,
            Err(fault) => {
                let fault = FileFault { file: ".".into(), document: None, fault };
                return ReloadResult { changed: false, faults: vec![fault] };
            }
        };
        let confirmed = confirmed && is_empty;
        self.revert_conflicts(&mut next, &mut faults);
        if next.is_empty() && !self.files.is_empty() && !confirmed {
            let detail = "has no valid policy file left; send SIGHUP or restart to deactivate all its policies";
            faults.push(FileFault { file: ".".into(), document: None, fault: Fault::new("", detail) });
            return ReloadResult { changed: false, faults };
        }
        let changed = !have_same_policies(&self.files, &next);
        self.files = next;
        ReloadResult { changed, faults }
    }

    /// Reads all files. If the content of the directory is replaced meanwhile, reads again: a policy that moves from one file to another
    /// must not be missed.
    fn read_content(&self) -> Result<ReadFiles, Fault> {
        let mut result = self.try_read_content();
        for _ in 1..MAX_ATTEMPTS {
            if result.is_ok() {
                break;
            }
            result = self.try_read_content();
        }
        result
    }

    fn try_read_content(&self) -> Result<ReadFiles, Fault> {
        let content = Content::find(&self.path)?;
        let names = content.list_files()?;
        let mut read = ReadFiles { is_empty: names.is_empty(), ..ReadFiles::default() };
        for name in names {
            let active = self.files.get(&name);
            match read::read_file(&content.path_of(&name), &name, active, &self.bounds) {
                Ok(file) => {
                    read.files.insert(name, file);
                }
                Err(found) => {
                    read.faults.extend(found);
                    read.files.extend(active.map(|file| (name, file.clone())));
                }
            }
        }
        if content == Content::find(&self.path)? {
            Ok(read)
        } else {
            Err(Fault::new("", "the content of the directory was replaced while it was read"))
        }
    }

    /// The active policies.
    #[must_use]
    pub fn policies(&self) -> Vec<Arc<Policy>> {
        self.files.values().flat_map(|file| file.policies.iter().cloned()).collect()
    }

    /// The active policies in the form of the API.
    #[must_use]
    pub fn policy_records(&self) -> Vec<PolicyRecord> {
        let policies = self.files.iter().flat_map(|(name, file)| {
            let stored = |policy: &Arc<Policy>| {
                let (time, file_name) = (file.modified_at, name.to_string_lossy().into_owned());
                PolicyRecord::read_only(policy, PolicySource::File, time, time, file_name)
            };
            file.policies.iter().map(stored)
        });
        policies.collect()
    }

    /// If files have policies of the same name, reverts each of these files to its active version, or leaves it out if no version
    /// is active. An active version may conflict with a third file, so this is repeated until all names are distinct. The loop
    /// ends, because each round reverts a file, and the names of the active versions are distinct.
    fn revert_conflicts(&self, next: &mut Files, faults: &mut Vec<FileFault>) {
        loop {
            let mut reverted = false;
            for (name, document) in name_conflicts(next) {
                let fault = FileFault {
                    file: name.to_string_lossy().into_owned(),
                    document: Some(document),
                    fault: Fault::new("/metadata/name", "is the name of a policy in another file too"),
                };
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                let Some(current) = next.get(&name) else { continue };
                match self.files.get(&name) {
                    Some(active) if active.digest == current.digest => {}
                    Some(active) => {
                        next.insert(name, active.clone());
                        reverted = true;
                    }
                    None => {
                        next.remove(&name);
                        reverted = true;
                    }
                }
            }
            if !reverted {
                return;
            }
        }
    }
}

/// The documents, by file and number, whose policy name another file has too.
fn name_conflicts(files: &Files) -> Vec<(OsString, usize)> {
    let mut by_name: BTreeMap<&str, Vec<(&OsString, usize)>> = BTreeMap::new();
    for (name, file) in files {
        for (index, policy) in file.policies.iter().enumerate() {
            by_name.entry(policy.name()).or_default().push((name, index + 1));
        }
    }
    let conflicting = by_name.into_values().filter(|documents| documents.len() > 1).flatten();
    conflicting.map(|(name, document)| (name.clone(), document)).collect()
}

fn have_same_policies(before: &Files, after: &Files) -> bool {
    let all = |files: &Files| -> BTreeSet<(Arc<str>, Arc<str>)> {
        let policies = files.values().flat_map(|file| &file.policies);
        policies.map(|policy| (policy.name().clone(), policy.revision().clone())).collect()
    };
    all(before) == all(after)
}
