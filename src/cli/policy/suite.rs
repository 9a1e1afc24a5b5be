//! A test file: policies, and test cases for them.

use super::case::{Case, RawCase};
use super::explain::is_free_of_caller;
use super::manifests::{self, Manifests};
use crate::cli::failure::{Failure, fault_line};
use crate::cli::input;
use crate::document::{Fault, misread_in, parse, prune};
use crate::policy::{Bounds, FileKind, Policy, PolicySet};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of policy or test files in one directory.
const MAX_FILES: usize = 10_000;

/// A test file as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSuite {
    policies: Option<Vec<Option<PathBuf>>>,
    cases: Vec<Option<RawCase>>,
}

/// A valid test file.
#[derive(Debug)]
pub struct Suite {
    /// The policies under test.
    pub policies: PolicySet,
    /// At least one case.
    pub cases: Vec<Case>,
}

impl Suite {
    /// Reads a test file and its policies. Without `bounds` the policies may name any store and issuer.
    pub fn read(file: &Path, bounds: Option<&Bounds>) -> Result<Self, Failure> {
        let shown = file.display().to_string();
        let text = input::text(file).map_err(Failure::usage)?;
        let ill_formed = |fault| Failure::faults(&shown, &[fault]);
        let mut tree = parse(&text).map_err(ill_formed)?;
        let (suite, mut faults) = prune::<RawSuite>(&mut tree);
        let is_free = |at: &[&str]| matches!(at, ["cases", _, "caller", below @ ..] if is_free_of_caller(below));
        faults.extend(misread_in(&text, is_free).map_err(ill_formed)?);
        let RawSuite { policies, cases } = suite.unwrap_or_default();
        let checked = check(cases, &mut faults);
        let folder = file.parent().unwrap_or(Path::new(""));
        let named = policies.map(|named| resolve(named, folder, &mut faults));
        if !faults.is_empty() {
            return Err(Failure::faults(&shown, &faults));
        }
        let files = match named {
            Some(files) => files,
            None => files_of(folder, FileKind::Policies)?,
        };
        if files.is_empty() {
            return Err(Failure::usage(format!("{shown}: there is no policy file beside it")));
        }
        Ok(Self { policies: compile(&files, bounds)?, cases: checked })
    }
}

/// The valid cases. The faults of the others are collected.
fn check(cases: Vec<Option<RawCase>>, faults: &mut Vec<Fault>) -> Vec<Case> {
    // A field that could not be decoded looks as if it were missing; its fault is reported already.
    let told: Vec<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
    if cases.is_empty() && told.is_empty() {
        faults.push(Fault::new("/cases", "must have at least one case"));
    }
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(cases.len());
    for (index, case) in cases.into_iter().enumerate() {
        let pointer = format!("/cases/{index}");
        let Some(case) = case else {
            found.push(Fault::new(pointer, "must not be null"));
            continue;
        };
        let Some(case) = case.check(&pointer, &mut found) else { continue };
        if !names.insert(case.name.clone()) {
            found.push(Fault::new(format!("{pointer}/name"), "is the name of another case too"));
        }
        checked.push(case);
    }
    let is_told = |fault: &Fault| told.iter().any(|told| overlaps(&fault.pointer, told));
    faults.extend(found.into_iter().filter(|fault| !is_told(fault)));
    checked
}

/// Whether one of two positions contains the other.
fn overlaps(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(one, other) || within(other, one)
}

/// Paths are relative to the test file's folder; a directory stands for the policy files in it.
fn resolve(named: Vec<Option<PathBuf>>, folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if named.is_empty() {
        faults.push(Fault::new("/policies", "must name at least one file; leave it out for all beside this one"));
    }
    for (index, path) in named.into_iter().enumerate() {
        let pointer = format!("/policies/{index}");
        match path.map(|path| folder.join(path)) {
            None if faults.iter().any(|fault| fault.pointer == pointer) => {}
            None => faults.push(Fault::new(pointer, "must not be null")),
            Some(path) if path.is_dir() => match files_of(&path, FileKind::Policies) {
                Ok(found) => files.extend(found),
                Err(_) => faults.push(Fault::new(pointer, "is a directory that cannot be read")),
            },
            Some(path) => files.push(path),
        }
    }
    files
}

/// The files with this ending in a directory, sorted, without sub-directories.
pub fn files_of(folder: &Path, kind: FileKind) -> Result<Vec<PathBuf>, Failure> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    let unreadable =
        |error: std::io::Error| Failure::usage(format!("{}: cannot be read: {}", folder.display(), error.kind()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().and_then(FileKind::from_file_name) == Some(kind) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Failure::usage(format!("{}: has more than {MAX_FILES} such files", folder.display())));
        }
    }
    files.sort();
    Ok(files)
}

fn compile(files: &[PathBuf], bounds: Option<&Bounds>) -> Result<PolicySet, Failure> {
    let Manifests { documents, mut wrong } = manifests::read(files);
    let permissive = || {
        let manifests: Vec<_> = documents.iter().map(|document| document.manifest.clone()).collect();
        Bounds::permissive(&manifests)
    };
    let bounds = bounds.cloned().unwrap_or_else(permissive);
    let mut policies = Vec::with_capacity(documents.len());
    for document in documents {
        match Policy::from_resource_document(document.tree, &bounds) {
            Ok(policy) => policies.push(policy),
            Err(faults) => {
                wrong.extend(faults.iter().map(|fault| fault_line(&document.place, fault)));
            }
        }
    }
    if wrong.is_empty() { Ok(PolicySet::new(policies)) } else { Err(Failure::Usage(wrong)) }
}
