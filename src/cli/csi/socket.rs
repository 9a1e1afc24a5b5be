//! The Unix socket: in its place at once and complete, for its owner alone, and gone when the provider ends.

use crate::cli::failure::Failure;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Only the driver, which is root, may connect.
const OWNER_ONLY: u32 = 0o600;

/// The path of a socket that this process listens on.
pub struct Socket {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl Socket {
    /// Listens, in place of a socket that another process left. Needs the runtime.
    pub fn open(path: &Path) -> Result<(Self, UnixListener), Failure> {
        let wrong = |why: &str| Failure::usage(format!("--socket: {}: {why}", path.display()));
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {}
            Ok(_) => return Err(wrong("is there, and no socket")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(&format!("cannot be looked at: {}", error.kind()))),
        }
        let Some(name) = path.file_name() else { return Err(wrong("is no name of a file")) };
        let mut new = name.to_owned();
        new.push(".new");
        // A connection that comes before the rename would find a socket with other permissions, or none.
        let new = path.with_file_name(new);
        let opened = || -> io::Result<_> {
            remove(&new)?;
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, Permissions::from_mode(OWNER_ONLY))?;
            let metadata = fs::symlink_metadata(&new)?;
            fs::rename(&new, path)?;
            Ok((listener, (metadata.dev(), metadata.ino())))
        };
        let (listener, device_and_inode) =
            opened().map_err(|error| wrong(&format!("cannot be made: {}", error.kind())))?;
        Ok((Self { path: path.to_owned(), device_and_inode }, listener))
    }

    /// Removes the socket, unless another process has put its own in the place. With none a mount fails at once; with one that
    /// nobody listens on it waits for two minutes.
    pub fn remove(&self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == self.device_and_inode);
        if is_ours && let Err(error) = remove(&self.path) {
            tracing::warn!(error = %error.kind(), "the socket cannot be removed");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_newer_one_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claviger.sock");
        let open = || Socket::open(&path).unwrap_or_else(|failure| panic!("{failure:?}"));
        let (first, listener) = open();
        drop(listener);
        assert!(path.exists(), "left behind");
        let (second, _listener) = open();
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, OWNER_ONLY);
        first.remove();
        assert!(path.exists(), "it is the other's");
        second.remove();
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
        second.remove();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claviger.sock");
        fs::write(&path, "precious").expect("written");
        assert!(Socket::open(&path).is_err());
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
        assert!(Socket::open(&folder.path().join("no/such/folder.sock")).is_err());
        assert!(Socket::open(Path::new("/")).is_err());
    }
}
