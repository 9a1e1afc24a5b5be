//! An issuer's keys in a file, which is read at start, on SIGHUP and when it changes.

use super::jwks::{KeySet, KeySetError};
use crate::trust::FileStamp;
use arc_swap::ArcSwap;
use std::path::PathBuf;
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
    /// `FileStamp` of the last read. The lock is held during the read, so that a caller that finds an unchanged stamp
    /// also finds the keys of that file.
    stamp: Mutex<Option<FileStamp>>,
}

impl KeyFile {
    /// Reads the file, and starts a task that checks it for changes until the last reference is dropped.
    ///
    /// # Errors
    /// The file is not a key set.
    pub fn open(name: Arc<str>, path: PathBuf) -> Result<Arc<Self>, KeySetError> {
        let stamp = Mutex::new(FileStamp::read(&path));
        let keys = ArcSwap::from_pointee(KeySet::read(&path)?);
        let file = Arc::new(Self { name, path, keys, stamp });
        tokio::spawn(poll_for_changes(Arc::downgrade(&file)));
        Ok(file)
    }

    /// The last valid keys.
    pub fn current(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Reads the file again if it has changed. An invalid file does not replace valid keys.
    pub async fn read_if_changed(&self) {
        let mut last = self.stamp.lock().await;
        // The stamp is taken before reading, so that a file replaced in between is read again.
        let stamp = FileStamp::read(&self.path);
        if *last != stamp {
            self.read().await;
            *last = stamp;
        }
    }

    /// Reads the file again, even if it has not changed. An invalid file does not replace valid keys.
    pub async fn reload(&self) {
        let mut last = self.stamp.lock().await;
        let stamp = FileStamp::read(&self.path);
        self.read().await;
        *last = stamp;
    }

    async fn read(&self) {
        let authenticator = &*self.name;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || KeySet::read(&path)).await;
        match read.unwrap_or(Err(KeySetError::Malformed)) {
            Ok(read) => {
                tracing::info!(authenticator, keys = read.len(), "key set reloaded");
                self.keys.store(Arc::new(read));
            }
            Err(error) => {
                tracing::error!(authenticator, fault = %error, "jwksFile reload failed; keeping the previous keys");
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
    use std::os::unix::fs::symlink;

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
