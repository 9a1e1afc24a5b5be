//! Reads and compiles the files of a policy directory. Their size is limited.

use super::file_fault::FileFault;
use crate::document::{Fault, parse_all};
use crate::policy::bounds::Bounds;
use crate::policy::compiled_policy::Policy;
use crate::sealing::digest::{Digest, sha256};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

/// Maximum size of a file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A valid file. Its policies are in the order of its documents.
#[derive(Debug, Clone)]
pub(super) struct ValidFile {
    /// Digest of the text, so that an unchanged file is not compiled again.
    pub(super) digest: Digest,
    pub(super) policies: Vec<Arc<Policy>>,
    /// Time of the file's last change.
    pub(super) modified_at: Timestamp,
}

/// Reads the file with this name. If its text equals that of its active version, returns the active version without compiling.
pub(super) fn read_file(
    path: &Path,
    name: &OsStr,
    active: Option<&ValidFile>,
    bounds: &Bounds,
) -> Result<ValidFile, Vec<FileFault>> {
    let in_file = |document, fault| FileFault { file: name.to_string_lossy().into_owned(), document, fault };
    let (text, modified_at) = read_text(path).map_err(|fault| vec![in_file(None, fault)])?;
    let digest = sha256(text.as_bytes());
    if let Some(active) = active.filter(|active| active.digest == digest) {
        return Ok(active.clone());
    }
    let documents = parse_all(&text).map_err(|fault| vec![in_file(None, fault)])?;
    if documents.is_empty() {
        // A file that is being written can be empty for a moment. Its deny policies must not disappear then.
        return Err(vec![in_file(None, Fault::new("", "has no policy; remove the file to remove its policies"))]);
    }
    let mut policies: Vec<Arc<Policy>> = Vec::with_capacity(documents.len());
    let mut names = BTreeSet::new();
    let mut faults = Vec::new();
    for (index, tree) in documents.into_iter().enumerate() {
        let in_document = |fault| in_file(Some(index + 1), fault);
        match Policy::from_document(tree, bounds) {
            Ok(policy) if !names.insert(policy.name().clone()) => {
                let detail = "is the name of another policy in this file too";
                faults.push(in_document(Fault::new("/metadata/name", detail)));
            }
            Ok(policy) => policies.push(Arc::new(policy)),
            Err(compile_faults) => faults.extend(compile_faults.into_iter().map(in_document)),
        }
    }
    if faults.is_empty() { Ok(ValidFile { digest, policies, modified_at }) } else { Err(faults) }
}

/// Reads the text of a file, and the time of its last change.
fn read_text(path: &Path) -> Result<(String, Timestamp), Fault> {
    let unreadable = |error: io::Error| Fault::new("", format!("cannot be read: {}", error.kind()));
    // Checked before opening: opening a FIFO blocks until it has a writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Fault::new("", "is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Fault::new("", "is larger than 1 MiB"));
    }
    // The epoch if the file system has no modification times.
    let modified_at = metadata.modified().ok().and_then(|time| time.try_into().ok()).unwrap_or_default();
    let text = String::from_utf8(bytes).map_err(|_| Fault::new("", "is not UTF-8"))?;
    Ok((text, modified_at))
}
