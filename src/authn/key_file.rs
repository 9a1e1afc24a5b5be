//! An issuer's keys in a file, which is read at start, on SIGHUP and when it changes.

use super::jwks::{KeySet, KeySetError};
use crate::trust::FileStamp;
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// Interval of the checks for changes. The file is polled, not watched, because the kubelet replaces a mounted file by swapping a
/// symbolic link.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The last valid keys of a file.
pub struct KeyFile {
    /// The authenticator, for the log.
    name: Arc<str>,
    path: PathBuf,
    keys: ArcSwap<KeySet>,
    /// The lock is held during a read, so that a caller that finds an unchanged stamp also finds the keys of that file.
    last_read: Mutex<LastRead>,
    /// How the file is read.
    read: fn(&Path) -> Result<KeySet, KeySetError>,
}

struct LastRead {
    stamp: Option<FileStamp>,
    /// Whether the file could not be read. It is then read again although its stamp is the same: the fault may have been the
    /// process's, for example too many open files, and a withdrawn key must not stay valid because of it.
    is_unreadable: bool,
}

impl KeyFile {
    /// Reads the file, and starts a task that checks it for changes until the last reference is dropped.
    ///
    /// # Errors
    /// The file is not a key set.
    pub fn open(name: Arc<str>, path: PathBuf) -> Result<Arc<Self>, KeySetError> {
        Self::open_with(name, path, KeySet::read)
    }

    fn open_with(
        name: Arc<str>,
        path: PathBuf,
        read: fn(&Path) -> Result<KeySet, KeySetError>,
    ) -> Result<Arc<Self>, KeySetError> {
        let last_read = Mutex::new(LastRead { stamp: FileStamp::read(&path), is_unreadable: false });
        let keys = ArcSwap::from_pointee(read(&path)?);
        let file = Arc::new(Self { name, path, keys, last_read, read });
        tokio::spawn(poll_for_changes(Arc::downgrade(&file)));
        Ok(file)
    }

    /// The last valid keys.
    pub fn current(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Reads the file again if it has changed or could not be read. An invalid file does not replace valid keys.
    pub async fn read_if_changed(&self) {
        let mut last = self.last_read.lock().await;
        // The stamp is taken before reading, so that a file replaced in between is read again.
        let stamp = FileStamp::read(&self.path);
        let has_changed = last.stamp != stamp;
        if has_changed || last.is_unreadable {
            let is_repeated = last.is_unreadable && !has_changed;
            *last = LastRead { stamp, is_unreadable: self.read(is_repeated).await };
        }
    }

    /// Reads the file again, even if it has not changed. An invalid file does not replace valid keys.
    pub async fn reload(&self) {
        let mut last = self.last_read.lock().await;
        let stamp = FileStamp::read(&self.path);
        *last = LastRead { stamp, is_unreadable: self.read(false).await };
    }

    /// Reads the file. Returns whether it could not be read. A repeated fault is not logged again.
    async fn read(&self, is_repeated: bool) -> bool {
        let authenticator = &*self.name;
        let (path, read) = (self.path.clone(), self.read);
        let result = tokio::task::spawn_blocking(move || read(&path)).await;
        match result.unwrap_or(Err(KeySetError::Malformed)) {
            Ok(read) => {
                tracing::info!(authenticator, keys = read.len(), "key set reloaded");
                self.keys.store(Arc::new(read));
                false
            }
            Err(error) => {
                let is_unreadable = matches!(error, KeySetError::Unreadable(_));
                if !(is_repeated && is_unreadable) {
                    tracing::error!(authenticator, fault = %error, "jwksFile reload failed; keeping the previous keys");
                }
                is_unreadable
            }
        }
    }
}

async fn poll_for_changes(file: Weak<KeyFile>) {
    loop {
        sleep(POLL_INTERVAL).await;
        let Some(file) = file.upgrade() else { return };
        file.read_if_changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    const KEY_SET: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[tokio::test]
    async fn a_file_is_read_again_when_a_symbolic_link_in_its_path_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in
            [("v1", KEY_SET.to_owned()), ("v2", KEY_SET.replace("\"a\"", "\"b\"")), ("v3", "no JSON".into())]
        {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("jwks.json"), text).unwrap();
        }
        let swap = |version: &str| {
            symlink(version, at("..new")).unwrap();
            std::fs::rename(at("..new"), at("..data")).unwrap();
        };
        swap("v1");
        symlink("..data/jwks.json", at("jwks.json")).unwrap();
        let file = KeyFile::open("issuer".into(), at("jwks.json")).unwrap();
        let has_key = |key: &str| file.current().contains_id(Some(key));
        assert!(has_key("a") && !has_key("b"));
        swap("v2");
        file.read_if_changed().await;
        assert!(!has_key("a") && has_key("b"));
        swap("v3");
        file.read_if_changed().await;
        assert!(has_key("b"), "an invalid file does not replace valid keys");
        std::fs::remove_file(at("..data")).unwrap();
        file.read_if_changed().await;
        assert!(has_key("b"), "also if the file is missing");
        swap("v1");
        file.read_if_changed().await;
        assert!(has_key("a"));
    }

    #[tokio::test]
    async fn a_file_that_could_not_be_read_is_read_again_without_a_change() {
        static FAILS: AtomicBool = AtomicBool::new(false);
        let read = |path: &Path| {
            if FAILS.swap(false, Ordering::Relaxed) {
                return Err(KeySetError::Unreadable(io::ErrorKind::Other));
            }
            KeySet::read(path)
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, KEY_SET).unwrap();
        let file = KeyFile::open_with("issuer".into(), path.clone(), read).unwrap();
        std::fs::write(&path, KEY_SET.replace("\"a\"", "\"withdrawn\"")).unwrap();
        FAILS.store(true, Ordering::Relaxed);
        file.read_if_changed().await;
        assert!(file.current().contains_id(Some("a")), "the read failed");
        file.read_if_changed().await;
        assert!(!file.current().contains_id(Some("a")));
    }

    #[tokio::test]
    async fn concurrent_readers_wait_for_the_new_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, KEY_SET).unwrap();
        let file = KeyFile::open("issuer".into(), path.clone()).unwrap();
        for (key, written) in [("bb", "\"bb\""), ("ccc", "\"ccc\"")] {
            std::fs::write(&path, KEY_SET.replace("\"a\"", written)).unwrap();
            let has_key = || async {
                file.read_if_changed().await;
                file.current().contains_id(Some(key))
            };
            // A cancelled reader does not consume the change: later readers see it too.
            let cancelled = tokio::time::timeout(Duration::ZERO, has_key()).await;
            let found = tokio::join!(has_key(), has_key(), has_key());
            assert_eq!(found, (true, true, true), "{cancelled:?}");
        }
    }
}
