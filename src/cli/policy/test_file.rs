//! Reads a test file: policies, and test cases for them.

use super::explain::may_have_any_type;
use super::manifests;
use super::test_case::{Case, RawCase};
use crate::cli::command_error::CommandError;
use crate::cli::input_file;
use crate::document::{Fault, check_reinterpreted_scalars, parse, prune};
use crate::policy::{Bounds, FileKind, PolicySet};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of policy or test files in one directory.
const MAX_FILES: usize = 10_000;

/// A test file before validation.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawTestFile {
    policies: Option<Vec<Option<PathBuf>>>,
    cases: Vec<Option<RawCase>>,
}

/// A valid test file.
#[derive(Debug)]
pub struct TestFile {
    /// The policies under test.
    pub policies: PolicySet,
    /// The cases, at least one.
    pub cases: Vec<Case>,
}

impl TestFile {
    /// Reads a test file and its policies. Without `bounds` the policies may name any store and issuer.
    pub fn read(file: &Path, bounds: Option<&Bounds>) -> Result<Self, CommandError> {
        let file_name = file.display().to_string();
        let text = input_file::read_text(file).map_err(CommandError::usage)?;
        let ill_formed = |fault| CommandError::from_faults(&file_name, &[fault]);
        let mut tree = parse(&text).map_err(ill_formed)?;
        let (raw, mut faults) = prune::<RawTestFile>(&mut tree);
        let is_untyped = |path: &[&str]| matches!(path, ["cases", _, "caller", below @ ..] if may_have_any_type(below));
        faults.extend(check_reinterpreted_scalars(&text, is_untyped).map_err(ill_formed)?);
        let RawTestFile { policies, cases } = raw.unwrap_or_default();
        let cases = check_cases(cases, &mut faults);
        let folder = file.parent().unwrap_or(Path::new(""));
        let files = policies.map(|paths| resolve_paths(paths, folder, &mut faults));
        if !faults.is_empty() {
            return Err(CommandError::from_faults(&file_name, &faults));
        }
        let files = match files {
            Some(files) => files,
            None => list_files(folder, FileKind::Policies)?,
        };
        if files.is_empty() {
            return Err(CommandError::usage(format!("{file_name}: there is no policy file beside it")));
        }
        let policies = manifests::read_manifests(&files).compile(bounds).map_err(CommandError::Usage)?;
        Ok(Self { policies: PolicySet::new(policies), cases })
    }
}

/// Returns the valid cases, and adds the faults of the other cases to `faults`.
fn check_cases(cases: Vec<Option<RawCase>>, faults: &mut Vec<Fault>) -> Vec<Case> {
    // A field that could not be decoded looks missing here, but its fault is reported already.
    let reported: Vec<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
    if cases.is_empty() && reported.is_empty() {
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
    let is_reported = |fault: &Fault| reported.iter().any(|reported| overlaps(&fault.pointer, reported));
    faults.extend(found.into_iter().filter(|fault| !is_reported(fault)));
    checked
}

/// Whether one of two JSON pointers contains the other.
fn overlaps(first: &str, second: &str) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_within(first, second) || is_within(second, first)
}

/// Resolves paths relative to the folder of the test file. A directory stands for the policy files in it.
fn resolve_paths(paths: Vec<Option<PathBuf>>, folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if paths.is_empty() {
        faults.push(Fault::new("/policies", "must name at least one file; leave it out for all beside this one"));
    }
    for (index, path) in paths.into_iter().enumerate() {
        let pointer = format!("/policies/{index}");
        match path.map(|path| folder.join(path)) {
            None if faults.iter().any(|fault| fault.pointer == pointer) => {}
            None => faults.push(Fault::new(pointer, "must not be null")),
            Some(path) if path.is_dir() => match list_files(&path, FileKind::Policies) {
                Ok(found) => files.extend(found),
                Err(_) => faults.push(Fault::new(pointer, "is a directory that cannot be read")),
            },
            Some(path) => files.push(path),
        }
    }
    files
}

/// Lists the files of this kind in a directory, sorted by name, without those in subdirectories.
pub fn list_files(folder: &Path, kind: FileKind) -> Result<Vec<PathBuf>, CommandError> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    let unreadable =
        |error: std::io::Error| CommandError::usage(format!("{}: cannot be read: {}", folder.display(), error.kind()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().and_then(FileKind::from_file_name) == Some(kind) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(CommandError::usage(format!("{}: has more than {MAX_FILES} such files", folder.display())));
        }
    }
    files.sort();
    Ok(files)
}
