//! The folder in which `claviger dev` keeps its tokens, database and samples.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder. If [`StateFolder::open`] creates it, only its owner can read it.
#[derive(Debug)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// Creates the folder unless it exists, its subfolder for policies, and its `.gitignore`.
    ///
    /// # Errors
    /// One of these cannot be created.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let state = Self(fs::canonicalize(path)?);
        DirBuilder::new().recursive(true).mode(0o700).create(state.path("policies"))?;
        // Tokens must not be committed to a repository.
        state.write(".gitignore", "*\n")?;
        Ok(state)
    }

    /// The path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces a file by one that only its owner can read. A link is replaced, not followed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
    }
}
