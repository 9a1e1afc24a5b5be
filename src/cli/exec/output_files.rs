//! The option `--file NAME=PATH`: writes the value of a key to a file.

use super::signals::SignalReceiver;
use crate::cli::atomic_file::{AtomicFile, Mode};
use crate::cli::bundle::{InvalidBundleError, Values, tar, to_lossy_secret};
use crate::cli::command_error::CommandError;
use crate::model::secret::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use zeroize::Zeroizing;

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

/// The values of the keys, as bytes.
#[derive(Default)]
pub struct ValuesByKey(Vec<(String, Zeroizing<Vec<u8>>)>);

impl ValuesByKey {
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the value of a key.
    pub fn add(&mut self, name: String, value: Zeroizing<Vec<u8>>) {
        self.0.push((name, value));
    }

    /// Adds the files of an archive.
    pub fn add_archive(&mut self, archive: &[u8]) -> Result<(), InvalidBundleError> {
        self.0.extend(tar::unpack(archive).ok_or(InvalidBundleError)?);
        Ok(())
    }

    /// The values to mask, as plain text. A value that is not UTF-8 gives two texts: its lossy text, because its lines that are
    /// UTF-8 are masked, and its base64, from which the masker derives the other encodings of the bytes.
    pub fn values_to_mask(&self) -> Values {
        let mut masked = Values::new();
        for (name, value) in &self.0 {
            masked.push((name.clone(), to_lossy_secret(value)));
            if std::str::from_utf8(value).is_err() {
                masked.push((name.clone(), SecretValue::new(STANDARD.encode(value))));
            }
        }
        masked
    }
}

/// The files of one `claviger exec`.
pub struct OutputFiles {
    targets: Vec<(String, AtomicFile)>,
    /// How many of `targets`, from the first, this process has written.
    written: usize,
}

impl OutputFiles {
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

    /// Writes each file. Returns a signal that arrived meanwhile: [`AtomicFile::write`] installs handlers, so the signal did not
    /// end this process.
    pub async fn write_until_signal(&mut self, values: &ValuesByKey) -> Result<Option<Signal>, CommandError> {
        if self.targets.is_empty() {
            return Ok(None);
        }
        let watch_error = |error: io::Error| CommandError::Other(format!("no signal handlers: {}", error.kind()));
        let mut signals = SignalReceiver::new().map_err(watch_error)?;
        self.write(values)?;
        Ok(signals.next_arrived().await)
    }

    /// Writes each file. A missing key becomes an empty file, which `[ -s file ]` detects. Must be called in a tokio runtime,
    /// because [`AtomicFile::write`] handles signals.
    fn write(&mut self, values: &ValuesByKey) -> Result<(), CommandError> {
        for (name, target) in &self.targets {
            let value = values.0.iter().find(|(other, _)| other == name);
            target.write(value.map_or(&b""[..], |(_, bytes)| bytes))?;
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
