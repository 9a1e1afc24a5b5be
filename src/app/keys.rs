//! Keys that are read from files or created at start.

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
    /// The file holds no key.
    #[error("{path}: {detail}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The file cannot be created.
    #[error("{path} cannot be made")]
    Make {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// PostgreSQL has no data file beside which a key file could be created.
    #[error("database.keyFile must be set where the database is PostgreSQL")]
    Missing,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

/// Reads a key file named in the configuration.
pub fn read(path: &Path) -> Result<RootKey, KeyError> {
    let key = key_file::read(path);
    key.map(RootKey::new).map_err(|fault| KeyError::File { path: path.display().to_string(), detail: fault.detail })
}

/// The database's root key: from the configured file, or from the file beside the SQLite file, which the first
/// start creates. A database in memory gets a key that lives as long as the process.
pub fn of_database(database: &Database) -> Result<RootKey, KeyError> {
    match (&database.key_file, &database.url) {
        (Some(path), _) => read(path),
        (None, Url::Postgres(_)) => Err(KeyError::Missing),
        (None, Url::SqliteMemory) => random(),
        (None, Url::SqliteFile(file)) => {
            let mut path = file.clone().into_os_string();
            path.push(".key");
            let path = PathBuf::from(path);
            if !path.exists() {
                make(&path)?;
            }
            read(&path)
        }
    }
}

fn random() -> Result<RootKey, KeyError> {
    RootKey::random().map_err(|_| KeyError::NoRandomness)
}

/// Creates the file, unless another process does so at the same time. It is written under a temporary name and
/// linked when complete, so that no reader sees a partial key.
fn make(path: &Path) -> Result<(), KeyError> {
    let key = random()?;
    let text = Zeroizing::new(STANDARD.encode(key.as_bytes()) + "\n");
    let mut draft = path.to_owned().into_os_string();
    draft.push(format!(".{}", RequestId::random()));
    let linked = write(Path::new(&draft), text.as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(KeyError::Make { path: path.display().to_string(), source: error })
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_beside_the_database_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database { url: Url::SqliteFile(folder.path().join("claviger.db")), key_file: None };
        let first = of_database(&database).expect("made");
        assert_eq!(of_database(&database).expect("read").as_bytes(), first.as_bytes());
        let path = folder.path().join("claviger.db.key");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "no draft stays behind");
        std::fs::write(&path, "short").expect("written");
        assert!(of_database(&database).is_err());
    }
}
