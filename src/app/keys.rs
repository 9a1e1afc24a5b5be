//! Reads keys from files, and creates the key of an SQLite database at its first start.

use crate::config::database::{Database, Url};
use crate::config::key_file;
use crate::model::request_id::RequestId;
use crate::sealing::keys::RootKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why a key is not available.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, or holds no key.
    #[error("{path}: {detail}")]
    File {
        path: String,
        /// What is wrong with the file.
        detail: String,
    },
    /// The file cannot be created.
    #[error("{path} cannot be created")]
    Create {
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// No key file is configured for PostgreSQL. Only for SQLite, a key file is created beside the data file.
    #[error("database.keyFile must be set where the database is PostgreSQL")]
    Missing,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

/// Reads a key file named in the configuration.
pub fn read_key_file(path: &Path) -> Result<RootKey, KeyError> {
    let key = key_file::read(path);
    key.map(RootKey::new).map_err(|fault| KeyError::File { path: path.display().to_string(), detail: fault.detail })
}

/// The root key of the database: from the configured file, or else from the file beside the SQLite file, which the first
/// start creates. A database in memory gets a random key, which is lost with the process.
pub fn database_key(database: &Database) -> Result<RootKey, KeyError> {
    match (&database.key_file, &database.url) {
        (Some(path), _) => read_key_file(path),
        (None, Url::Postgres(_)) => Err(KeyError::Missing),
        (None, Url::SqliteMemory) => random_key(),
        (None, Url::SqliteFile(file)) => {
            let mut path = file.clone().into_os_string();
            path.push(".key");
            let path = PathBuf::from(path);
            if !path.exists() {
                create_key_file(&path)?;
            }
            read_key_file(&path)
        }
    }
}

fn random_key() -> Result<RootKey, KeyError> {
    RootKey::random().map_err(|_| KeyError::NoRandomness)
}

/// Creates the file, unless another process creates it at the same time. The key is written to a temporary file, which is
/// then linked to this path, so that no process reads a partial key.
fn create_key_file(path: &Path) -> Result<(), KeyError> {
    let key = random_key()?;
    let text = Zeroizing::new(STANDARD.encode(key.as_bytes()) + "\n");
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(format!(".{}", RequestId::random()));
    let linked = write_new_file(Path::new(&temporary), text.as_bytes()).and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(KeyError::Create { path: path.display().to_string(), source: error })
        }
        _ => Ok(()),
    }
}

fn write_new_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn default_key_file_is_created_once_with_mode_0600() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database { url: Url::SqliteFile(folder.path().join("claviger.db")), key_file: None };
        let first = database_key(&database).expect("created");
        assert_eq!(database_key(&database).expect("read").as_bytes(), first.as_bytes());
        let path = folder.path().join("claviger.db.key");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "the temporary file is removed");
        std::fs::write(&path, "short").expect("written");
        assert!(database_key(&database).is_err());
    }
}
