//! The files of an SQLite database are for their owner alone: bundles, lease records and who asked for what are in them.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;
/// What SQLite keeps beside the file. It gives them the file's mode when it makes them.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Makes the file where there is none, and takes the rights of others away from what is there. A file of another owner stays as
/// it is, with a line in the log: the process may be let in by its group alone.
///
/// # Errors
/// When the file cannot be made.
pub fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for file in std::iter::once(path.to_owned()).chain(BESIDE.map(|suffix| beside(path, suffix))) {
        // It may be gone by now: SQLite removes what it does not need.
        let Ok(metadata) = fs::metadata(&file) else { continue };
        let is_open = metadata.is_file() && metadata.permissions().mode() & 0o177 != 0;
        if is_open && let Err(error) = fs::set_permissions(&file, Permissions::from_mode(OWNER_ONLY)) {
            tracing::warn!(file = %file.display(), kind = %error.kind(), "the database file is readable by other users");
        }
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_an_existing_one_becomes_so_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = folder.path().join("new.db");
        make(&new).expect("made");
        assert_eq!((mode(&new), fs::read(&new).expect("read")), (0o600, Vec::new()));
        let old = folder.path().join("old.db");
        for suffix in ["", "-wal", "-shm"] {
            let file = beside(&old, suffix);
            fs::write(&file, "content").expect("written");
            fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        }
        make(&old).expect("there");
        for suffix in ["", "-wal", "-shm"] {
            let file = beside(&old, suffix);
            assert_eq!((mode(&file), fs::read_to_string(&file).expect("read")), (0o600, "content".into()));
        }
        assert!(!beside(&new, "-wal").exists());
        assert!(make(&folder.path().join("none/new.db")).is_err());
    }
}
