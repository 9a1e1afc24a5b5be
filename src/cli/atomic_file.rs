//! Writes a file atomically: to a temporary file in the same folder, which is synced and then renamed.

use crate::cli::command_error::CommandError;
use crate::cli::ignored_signals::IgnoredSignals;
use crate::model::request_id::RequestId;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The path at which a file will be written, and the file's permissions.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    folder: PathBuf,
    mode: Mode,
}

/// The permissions of a file, which are set whatever the umask is. Parsed from octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Read and write for the owner only.
    pub const OWNER: Self = Self(0o600);

    /// The permission bits, at most `0o777`.
    #[cfg(feature = "csi")]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let mode = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
        // Without set-user-ID, set-group-ID and sticky bit, and readable by the owner.
        let mode = mode.filter(|mode| *mode <= 0o777 && mode & 0o400 != 0);
        mode.map(Self).ok_or("must be permissions in octal that let the owner read, as 0640")
    }
}

impl AtomicFile {
    /// Accepts a path in an existing folder, if nothing or a regular file is at the path. A link or a device such as
    /// `/dev/stdout` is refused, because the rename would replace it by a file. `option` is named in the error.
    pub fn new(option: &str, path: &Path, mode: Mode) -> Result<Self, CommandError> {
        let usage_error = |why: &str| CommandError::usage(format!("{option}: {}: {why}", path.display()));
        if path == Path::new("-") {
            return Err(usage_error("is not a file name here; use ./-"));
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(usage_error("exists, and is not a regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(usage_error(&format!("cannot be read: {}", error.kind()))),
        }
        if path.file_name().is_none() {
            return Err(usage_error("is not a file name"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(usage_error("its folder does not exist"));
        }
        Ok(Self { path: path.to_owned(), folder: folder.to_owned(), mode })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file. After an error the old file is unchanged, and there is no temporary file. Must be called in a tokio
    /// runtime, which handles the signals.
    pub fn write(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let write_error = |error: io::Error| {
            CommandError::Other(format!("{} cannot be written: {}", self.path.display(), error.kind()))
        };
        let _handlers = ignore_signals().map_err(write_error)?;
        let temporary = self.folder.join(format!(".claviger-{}", RequestId::random()));
        let written = write_synced(&temporary, bytes, self.mode).and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(write_error(error));
        }
        // Syncs the name. An error is ignored, because some file systems cannot sync a folder.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn write_synced(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if mode != Mode::OWNER {
        file.set_permissions(Permissions::from_mode(mode.0))?;
    }
    file.sync_all()
}

/// Ignores these signals, of which one before the rename would end the process and leave the temporary file. They stay ignored
/// after the write: tokio never restores the default action of a signal.
fn ignore_signals() -> io::Result<Vec<Signal>> {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let ignored = IgnoredSignals::read();
    kinds.into_iter().filter(|kind| !ignored.contains(kind.as_raw_value())).map(signal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn file_is_complete_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build-env");
        for text in ["first", "", "second"] {
            AtomicFile::new("--output", &path, Mode::OWNER)
                .expect("a valid path")
                .write(text.as_bytes())
                .expect("written");
            assert_eq!(fs::read_to_string(&path).expect("a file"), text);
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, 0o600);
        }
        // The mode is also set if the previous file was readable by all.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("permissions");
        AtomicFile::new("--output", &path, Mode::OWNER).expect("a valid path").write(b"third").expect("written");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, 0o600);
        assert_eq!(names(folder.path()), ["build-env"]);
    }

    #[tokio::test]
    async fn failed_write_keeps_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build-env");
        fs::write(&path, "old").expect("written");
        let target = AtomicFile::new("--output", &path, Mode::OWNER).expect("a valid path");
        // A rename does not replace a folder by a file.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert!(target.write(b"new").is_err());
        assert_eq!(names(folder.path()), ["build-env"]);
    }

    #[tokio::test]
    async fn file_has_the_requested_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build-env");
        for (text, mode) in [("0640", 0o640), ("440", 0o440), ("0644", 0o644), ("0600", 0o600), ("777", 0o777)] {
            let mode_argument = text.parse().expect("a mode");
            AtomicFile::new("--output", &path, mode_argument).expect("a valid path").write(b"x").expect("written");
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, mode, "{text}");
        }
        for bad in
            ["", "0", "64", "0800", "888", "04640", "1640", "0240", "000", "+640", "-640", "0o640", "u=rw", " 640"]
        {
            assert!(bad.parse::<Mode>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn path_of_anything_but_a_regular_or_new_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "x").expect("written");
        symlink(folder.path().join("file"), folder.path().join("link")).expect("a link");
        for bad in ["link", "", "no/such", "file/x", ".."] {
            assert!(AtomicFile::new("--output", &folder.path().join(bad), Mode::OWNER).is_err(), "{bad} was accepted");
        }
        assert!(AtomicFile::new("--output", Path::new("-"), Mode::OWNER).is_err());
        assert!(AtomicFile::new("--output", Path::new("./-"), Mode::OWNER).is_ok());
        assert!(AtomicFile::new("--output", Path::new("/dev/null"), Mode::OWNER).is_err());
        assert!(AtomicFile::new("--output", Path::new("/"), Mode::OWNER).is_err());
        assert!(
            AtomicFile::new("--output", &folder.path().join("file"), Mode::OWNER).is_ok()
                && AtomicFile::new("--output", Path::new("new"), Mode::OWNER).is_ok()
        );
    }
}
