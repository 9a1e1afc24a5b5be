//! The files of an SQLite database are accessible to their owner only: they hold sealed bundles, lease records and
//! audit events.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;
/// Files that SQLite keeps beside the database file. It creates them with that file's mode.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Creates the file if it does not exist, and removes the permissions of group and others from existing files. A
/// file of another owner stays unchanged, and is logged: the process may have access only by its group.
///
/// # Errors
/// The file cannot be created.
pub fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for file in std::iter::once(path.to_owned()).chain(BESIDE.map(|suffix| beside(path, suffix))) {
        // SQLite may have removed the file meanwhile.
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
