//! Creates the Unix socket of the provider atomically, with mode 0600, and removes it at the end.

use crate::cli::command_error::CommandError;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Only the driver, which runs as root, may connect.
const SOCKET_MODE: u32 = 0o600;

/// The path of a socket that this process listens on.
pub struct Socket {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl Socket {
    /// Listens on the path, and replaces the socket of an earlier process. Must be called in a tokio runtime.
    pub fn bind(path: &Path) -> Result<(Self, UnixListener), CommandError> {
        let usage_error = |why: &str| CommandError::usage(format!("--socket: {}: {why}", path.display()));
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => {}
            Ok(_) => return Err(usage_error("exists, and is not a socket")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(usage_error(&format!("cannot be read: {}", error.kind()))),
        }
        let Some(name) = path.file_name() else { return Err(usage_error("is not the name of a file")) };
        let mut temporary = name.to_owned();
        temporary.push(".new");
        // Bound under a temporary name, so that no connection finds a socket with other permissions.
        let temporary = path.with_file_name(temporary);
        let bind_and_rename = || -> io::Result<_> {
            remove_if_exists(&temporary)?;
            let listener = UnixListener::bind(&temporary)?;
            fs::set_permissions(&temporary, Permissions::from_mode(SOCKET_MODE))?;
            let metadata = fs::symlink_metadata(&temporary)?;
            fs::rename(&temporary, path)?;
            Ok((listener, (metadata.dev(), metadata.ino())))
        };
        let (listener, device_and_inode) =
            bind_and_rename().map_err(|error| usage_error(&format!("cannot be created: {}", error.kind())))?;
        Ok((Self { path: path.to_owned(), device_and_inode }, listener))
    }

    /// Removes the socket, unless another process has replaced it. Without a socket a mount fails at once; with a socket on which
    /// no process listens it fails after two minutes.
    pub fn remove(&self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.device_and_inode);
        if is_ours && let Err(error) = remove_if_exists(&self.path) {
            tracing::warn!(error = %error.kind(), "the socket cannot be removed");
        }
    }
}

fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stale_socket_is_replaced_and_a_newer_one_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claviger.sock");
        let open = || Socket::bind(&path).unwrap_or_else(|error| panic!("{error:?}"));
        let (first, listener) = open();
        drop(listener);
        assert!(path.exists(), "the first socket is left");
        let (second, _listener) = open();
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, SOCKET_MODE);
        first.remove();
        assert!(path.exists(), "the newer socket stays");
        second.remove();
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
        second.remove();
    }

    #[tokio::test]
    async fn other_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claviger.sock");
        fs::write(&path, "precious").expect("written");
        assert!(Socket::bind(&path).is_err());
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
        assert!(Socket::bind(&folder.path().join("no/such/folder.sock")).is_err());
        assert!(Socket::bind(Path::new("/")).is_err());
    }
}
