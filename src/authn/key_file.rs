//! An issuer's keys from a file: read at start, on SIGHUP and when the file changes.

use super::jwks::{KeySet, KeySetError};
use crate::cluster::stamp::Stamp;
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// Interval of the check for changes. The kubelet replaces a mounted file by swapping a symbolic link.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The last valid keys of a file.
pub struct KeyFile {
    /// The authenticator, for the log.
    name: Arc<str>,
    path: PathBuf,
    keys: ArcSwap<KeySet>,
    /// Stamp of the last read. The lock is held during the read, so that a caller that finds the file unchanged
    /// also finds its keys.
    stamp: Mutex<Option<Stamp>>,
}

impl KeyFile {
    /// Reads the file, and checks it for changes until the last reference is dropped.
    ///
    /// # Errors
    /// The file is not a key set.
    pub fn open(name: Arc<str>, path: PathBuf) -> Result<Arc<Self>, KeySetError> {
        let stamp = Mutex::new(Stamp::of(&path));
        let keys = ArcSwap::from_pointee(KeySet::read(&path)?);
        let file = Arc::new(Self { name, path, keys, stamp });
        tokio::spawn(follow(Arc::downgrade(&file)));
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
        let stamp = Stamp::of(&self.path);
        if *last != stamp {
            self.read().await;
            *last = stamp;
        }
    }

    /// Reads the file again.
    pub async fn read_again(&self) {
        let mut last = self.stamp.lock().await;
        let stamp = Stamp::of(&self.path);
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
            Err(fault) => {
                tracing::error!(authenticator, %fault, "jwksFile reload failed; keeping the previous keys");
            }
        }
    }
}

async fn follow(file: Weak<KeyFile>) {
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

    const ONE: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[tokio::test]
    async fn a_file_is_read_again_when_a_link_on_its_way_is_swapped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", ONE.to_owned()), ("v2", ONE.replace("\"a\"", "\"b\"")), ("v3", "no JSON".into())]
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
        assert!(has_key("b"), "the last good keys stay");
        std::fs::remove_file(at("..data")).unwrap();
        file.read_if_changed().await;
        assert!(has_key("b"), "those of a file that is away too");
        swap("v1");
        file.read_if_changed().await;
        assert!(has_key("a"));
    }

    #[tokio::test]
    async fn whoever_asks_while_it_is_read_waits_for_the_new_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, ONE).unwrap();
        let file = KeyFile::open("issuer".into(), path.clone()).unwrap();
        for (key, written) in [("bb", "\"bb\""), ("ccc", "\"ccc\"")] {
            std::fs::write(&path, ONE.replace("\"a\"", written)).unwrap();
            let ask = || async {
                file.read_if_changed().await;
                file.current().contains_id(Some(key))
            };
            // A cancelled reader does not consume the change: later readers see it too.
            let given_up = tokio::time::timeout(Duration::ZERO, ask()).await;
            let answers = tokio::join!(ask(), ask(), ask());
            assert_eq!(answers, (true, true, true), "{given_up:?}");
        }
    }
}
