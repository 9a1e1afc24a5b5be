//! A file that is written whole or not at all: beside its place, readable by its owner only unless a mode is given, to the
//! disk, and then renamed.

use crate::cli::failure::Failure;
use crate::model::request_id::RequestId;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where a file shall be.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    folder: PathBuf,
    mode: Mode,
}

/// The permissions of a file, as `chmod` takes them in octal. They do not depend on the umask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// For its owner only.
    pub const OWNER: Self = Self(0o600);
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let mode = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
        // No set-user-ID and the like, and nothing that its owner cannot read.
        let mode = mode.filter(|mode| *mode <= 0o777 && mode & 0o400 != 0);
        mode.map(Self).ok_or("must be permissions in octal that let the owner read, as 0640")
    }
}

impl Target {
    /// Takes a path in a folder that exists, where there is nothing yet, or a regular file. Anything else would be
    /// replaced by the rename: a link would no longer lead where it led, and `/dev/stdout` would become a file.
    pub fn new(option: &str, path: &Path, mode: Mode) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::usage(format!("{option}: {}: {why}", path.display()));
        if path == Path::new("-") {
            return Err(wrong("is no name of a file here; ./- is"));
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.is_file() => {}
            Ok(_) => return Err(wrong("is there, and no regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(&format!("cannot be looked at: {}", error.kind()))),
        }
        if path.file_name().is_none() {
            return Err(wrong("is no name of a file"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(wrong("its folder does not exist"));
        }
        Ok(Self { path: path.to_owned(), folder: folder.to_owned(), mode })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it. On failure what was there is as it was, and nothing else is. Needs a runtime.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let failed =
            |error: io::Error| Failure::Failed(format!("{} cannot be written: {}", self.path.display(), error.kind()));
        let _whole = uninterrupted().map_err(failed)?;
        let beside = self.folder.join(format!(".claviger-{}", RequestId::random()));
        let written = fill(&beside, bytes, self.mode).and_then(|()| fs::rename(&beside, &self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            return Err(failed(error));
        }
        // The name is durable too. A file system that cannot do that has the file nevertheless.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn fill(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if mode != Mode::OWNER {
        file.set_permissions(Permissions::from_mode(mode.0))?;
    }
    file.sync_all()
}

/// From here on these signals end nothing: between making the file and renaming it one would leave it behind.
fn uninterrupted() -> io::Result<Vec<Signal>> {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    kinds.into_iter().map(signal).collect()
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
    async fn a_file_is_there_whole_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build-env");
        for text in ["first", "", "second"] {
            Target::new("--output", &path, Mode::OWNER).expect("a place").write(text.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("a file"), text);
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, 0o600);
        }
        // Also where the one before was for everybody.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("permissions");
        Target::new("--output", &path, Mode::OWNER).expect("a place").write(b"third").expect("written");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, 0o600);
        assert_eq!(names(folder.path()), ["build-env"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build-env");
        fs::write(&path, "old").expect("written");
        let target = Target::new("--output", &path, Mode::OWNER).expect("a place");
        // It has become a folder meanwhile, which no rename replaces by a file.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert!(target.write(b"new").is_err());
        assert_eq!(names(folder.path()), ["build-env"]);
    }

    #[tokio::test]
    async fn a_file_has_the_mode_that_was_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build-env");
        for (text, mode) in [("0640", 0o640), ("440", 0o440), ("0644", 0o644), ("0600", 0o600), ("777", 0o777)] {
            let asked = text.parse().expect("a mode");
            Target::new("--output", &path, asked).expect("a place").write(b"x").expect("written");
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, mode, "{text}");
        }
        for bad in
            ["", "0", "64", "0800", "888", "04640", "1640", "0240", "000", "+640", "-640", "0o640", "u=rw", " 640"]
        {
            assert!(bad.parse::<Mode>().is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn what_a_rename_would_replace_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "x").expect("written");
        symlink(folder.path().join("file"), folder.path().join("link")).expect("a link");
        for bad in ["link", "", "no/such", "file/x", ".."] {
            assert!(Target::new("--output", &folder.path().join(bad), Mode::OWNER).is_err(), "{bad} was taken");
        }
        assert!(Target::new("--output", Path::new("-"), Mode::OWNER).is_err());
        assert!(Target::new("--output", Path::new("./-"), Mode::OWNER).is_ok());
        assert!(Target::new("--output", Path::new("/dev/null"), Mode::OWNER).is_err());
        assert!(Target::new("--output", Path::new("/"), Mode::OWNER).is_err());
        assert!(
            Target::new("--output", &folder.path().join("file"), Mode::OWNER).is_ok()
                && Target::new("--output", Path::new("new"), Mode::OWNER).is_ok()
        );
    }
}
