//! The file mode of an SQLite database: only the owner has access, because the files contain sealed bundles, lease records and
//! audit events.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;
/// The suffixes of the files that SQLite keeps beside the database file. SQLite creates them with that file's mode.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Creates the file if it does not exist, and removes the permissions of group and others from existing files. If another user
/// owns a file, its mode cannot be changed; a warning is logged, because the process may have access through the group.
///
/// # Errors
/// The file cannot be created.
pub fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for file in std::iter::once(path.to_owned()).chain(SUFFIXES.map(|suffix| with_suffix(path, suffix))) {
        // The file does not exist, or SQLite has removed it meanwhile.
        let Ok(metadata) = fs::metadata(&file) else { continue };
        let is_accessible = metadata.is_file() && metadata.permissions().mode() & 0o177 != 0;
        if is_accessible && let Err(error) = fs::set_permissions(&file, Permissions::from_mode(OWNER_ONLY)) {
            tracing::warn!(file = %file.display(), kind = %error.kind(), "the database file is readable by other users");
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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
    fn create_private_restricts_new_and_existing_files_to_their_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = folder.path().join("new.db");
        create_private(&new).expect("made");
        assert_eq!((mode(&new), fs::read(&new).expect("read")), (0o600, Vec::new()));
        let old = folder.path().join("old.db");
        for suffix in ["", "-wal", "-shm"] {
            let file = with_suffix(&old, suffix);
            fs::write(&file, "content").expect("written");
            fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        }
        create_private(&old).expect("there");
        for suffix in ["", "-wal", "-shm"] {
            let file = with_suffix(&old, suffix);
            assert_eq!((mode(&file), fs::read_to_string(&file).expect("read")), (0o600, "content".into()));
        }
        assert!(!with_suffix(&new, "-wal").exists());
        assert!(create_private(&folder.path().join("none/new.db")).is_err());
    }
}
