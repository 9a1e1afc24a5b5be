//! The option `--file NAME=PATH`: writes the value of a key to a file.

use crate::cli::atomic_file::{AtomicFile, Mode};
use crate::cli::bundle::Values;
use crate::cli::command_error::CommandError;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// One option `--file`: the name of a key, and the path of the file for its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOption {
    pub name: String,
    path: PathBuf,
}

impl FromStr for FileOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("must be NAME=PATH"),
        }
    }
}

/// The files of one `claviger exec`.
pub struct ValueFiles {
    targets: Vec<(String, AtomicFile)>,
    /// How many of `targets`, from the first, this process has written.
    written: usize,
}

impl ValueFiles {
    /// Checks the paths. Called before any request is sent, so that a wrong path does not cost a ticket.
    pub fn new(options: &[FileOption]) -> Result<Self, CommandError> {
        let mut targets: Vec<(String, AtomicFile)> = Vec::new();
        for option in options {
            let target = AtomicFile::new("--file", &option.path, Mode::OWNER)?;
            if targets.iter().any(|(name, other)| *name == option.name || other.path() == target.path()) {
                return Err(CommandError::usage(format!(
                    "--file: {}: this file or its key is given twice",
                    option.path.display()
                )));
            }
            targets.push((option.name.clone(), target));
        }
        Ok(Self { targets, written: 0 })
    }

    /// Writes each file. A missing key becomes an empty file, which `[ -s file ]` detects. Must be called in a tokio runtime,
    /// because [`AtomicFile::write`] handles signals.
    pub fn write(&mut self, values: &Values) -> Result<(), CommandError> {
        for (name, target) in &self.targets {
            let value = values.iter().find(|(other, _)| other == name);
            #[expect(clippy::disallowed_methods, reason = "the value goes into the file that it is for")]
            let bytes = value.map_or(&b""[..], |(_, value)| value.expose_secret().as_bytes());
            target.write(bytes)?;
            self.written += 1;
        }
        Ok(())
    }

    /// Removes the files that this process has written.
    pub fn remove(&mut self) {
        for (_, target) in &self.targets[..self.written] {
            if let Err(error) = fs::remove_file(target.path()) {
                eprintln!("claviger: {} could not be removed: {}", target.path().display(), error.kind());
            }
        }
        self.written = 0;
    }
}
