//! Finds the files of a policy directory. What is replaced as a whole is read as a whole: the target of a link to the directory, as of
//! git-sync, and `..data`, the link to the current version of a mounted `ConfigMap`.
//!
//! Kubelet replaces `..data`, and then creates the links to new files and removes those to old ones. So the files of the version are
//! listed, and not only the links.

use crate::document::Fault;
use crate::policy::file_kind::FileKind;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Maximum number of policy files in a directory.
const MAX_FILES: usize = 10_000;
/// The link to the current version of a mounted volume.
const DATA: &str = "..data";

/// Where the files of a directory are. Two values are equal if no content was replaced in between.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// The directory, without links.
    directory: PathBuf,
    /// The directory of the current version, if this is a mounted volume.
    version: Option<PathBuf>,
}

impl Content {
    pub(super) fn find(path: &Path) -> Result<Self, Fault> {
        let directory = fs::canonicalize(path).map_err(unreadable)?;
        let data = directory.join(DATA);
        let version = match fs::symlink_metadata(&data) {
            Ok(_) => Some(fs::canonicalize(&data).map_err(unreadable)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(error)),
        };
        Ok(Self { directory, version })
    }

    /// The names of the policy files, sorted. Links are included.
    pub(super) fn list_files(&self) -> Result<Vec<OsString>, Fault> {
        let mut names = BTreeSet::new();
        for directory in self.version.iter().chain([&self.directory]) {
            for entry in fs::read_dir(directory).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                if FileKind::from_file_name(&name) == Some(FileKind::Policies) {
                    names.insert(name);
                }
                if names.len() > MAX_FILES {
                    return Err(Fault::new("", "the directory has more than 10000 policy files"));
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The path of a listed file: in the current version, if that has it.
    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        let in_version = self.version.as_ref().map(|version| version.join(name));
        in_version.filter(|path| fs::symlink_metadata(path).is_ok()).unwrap_or_else(|| self.directory.join(name))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> Fault {
    Fault::new("", format!("the directory cannot be read: {}", error.kind()))
}
