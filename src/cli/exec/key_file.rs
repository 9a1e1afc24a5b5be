//! The option `--file`: keys that are written to files.

use crate::cli::atomic_file::{AtomicFile, Mode};
use crate::cli::bundle::Values;
use crate::cli::command_error::CommandError;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// The value of `--file`: a key and the path of its file, as `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    pub name: String,
    path: PathBuf,
}

impl FromStr for KeyFile {
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

/// The files of a command. The first `written` of them exist.
pub struct KeyFiles {
    targets: Vec<(String, AtomicFile)>,
    written: usize,
}

impl KeyFiles {
    /// Checks that the files can be written, before any request is sent.
    pub fn new(files: &[KeyFile]) -> Result<Self, CommandError> {
        let mut targets: Vec<(String, AtomicFile)> = Vec::new();
        for file in files {
            let target = AtomicFile::new("--file", &file.path, Mode::OWNER)?;
            if targets.iter().any(|(name, other)| *name == file.name || other.path() == target.path()) {
                return Err(CommandError::usage(format!(
                    "--file: {}: this file or its key is given twice",
                    file.path.display()
                )));
            }
            targets.push((file.name.clone(), target));
        }
        Ok(Self { targets, written: 0 })
    }

    /// Writes each file. A missing key becomes an empty file, which `[ -s file ]` detects. Needs a runtime.
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

    /// Removes the written files.
    pub fn remove(&mut self) {
        for (_, target) in &self.targets[..self.written] {
            if let Err(error) = fs::remove_file(target.path()) {
                eprintln!("claviger: {} could not be removed: {}", target.path().display(), error.kind());
            }
        }
        self.written = 0;
    }
}
