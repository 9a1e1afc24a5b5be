//! The cache of mounts, by path.

use crate::stores::store_path::StorePath;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a mount is cached.
const MOUNT_TTL: Duration = Duration::from_mins(5);
/// Age of a look-up up to which a missing secret does not cause another look-up of its mount.
const MAX_RECENT_AGE: Duration = Duration::from_secs(10);
/// Maximum number of cached mounts.
const MAX_MOUNTS: usize = 1024;

/// The kind of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Key-value, without versions.
    KvV1,
    /// Key-value, with versions: the path has `data/` after the mount.
    KvV2,
    /// Any other engine (`database`, `pki`, ...). It creates a secret for each reader.
    Dynamic,
}

/// A mounted secret engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// The path, with a slash at the end.
    pub(super) path: Arc<str>,
    pub(super) engine: Engine,
}

impl Mount {
    /// A mount at a path that ends with a slash.
    pub(super) fn new(path: &str, engine: Engine) -> Self {
        Self { path: path.into(), engine }
    }

    /// The path without the slash at its end, for endpoint types.
    pub(super) fn name(&self) -> String {
        self.path.trim_end_matches('/').to_owned()
    }

    /// The rest of a path after the mount. `None` if the path is the mount itself, or not below it.
    pub(super) fn relative_path<'a>(&self, path: &'a StorePath) -> Option<&'a str> {
        path.as_str().strip_prefix(&*self.path).filter(|rest| !rest.is_empty())
    }
}

/// The cached mounts.
#[derive(Default)]
pub(super) struct Mounts {
    entries: Mutex<HashMap<Arc<str>, (Engine, Instant)>>,
}

impl Mounts {
    /// The cached mount of a path, and whether its look-up is recent. There is at most one, because no mount is below another.
    pub(super) fn find(&self, path: &StorePath) -> Option<(Mount, bool)> {
        self.find_by_prefix(path.as_str())
    }

    /// The same for any text that begins with the path of a mount, such as a lease ID.
    pub(super) fn find_by_prefix(&self, text: &str) -> Option<(Mount, bool)> {
        let entries = self.lock();
        let slashes = text.match_indices('/');
        slashes.map(|(index, _)| &text[..=index]).find_map(|prefix| {
            let (path, (engine, looked_up_at)) = entries.get_key_value(prefix)?;
            let mount = Mount { path: path.clone(), engine: *engine };
            (looked_up_at.elapsed() < MOUNT_TTL).then(|| (mount, looked_up_at.elapsed() < MAX_RECENT_AGE))
        })
    }

    /// Caches a mount that has just been looked up.
    pub(super) fn insert(&self, mount: &Mount) {
        let mut entries = self.lock();
        if entries.len() >= MAX_MOUNTS {
            entries.retain(|_, (_, looked_up_at)| looked_up_at.elapsed() < MOUNT_TTL);
        }
        if entries.len() < MAX_MOUNTS || entries.contains_key(&mount.path) {
            entries.insert(mount.path.clone(), (mount.engine, Instant::now()));
        }
    }

    /// Removes a mount that has changed.
    pub(super) fn remove(&self, mount: &Mount) {
        self.lock().remove(&mount.path);
    }

    /// A panic while the lock is held leaves the map consistent, because every change is a single call.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, (Engine, Instant)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> StorePath {
        StorePath::try_from(text).unwrap()
    }

    #[test]
    fn a_path_belongs_to_the_mount_that_it_begins_with() {
        for (mount, secret, rest) in [
            ("homelab/", "homelab/site/main", Some("site/main")),
            ("team/kv/", "team/kv/a", Some("a")),
            ("homelab/", "homelab", None),
            ("homelab/", "homelab2/a", None),
            ("homelab/site/main/", "homelab/site/main", None),
        ] {
            assert_eq!(Mount::new(mount, Engine::KvV2).relative_path(&path(secret)), rest, "{mount} {secret}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mount_is_found_by_whole_segments_until_it_expires() {
        let mounts = Mounts::default();
        let (kv, old) = (Mount::new("team/kv/", Engine::KvV2), Mount::new("old/", Engine::KvV1));
        mounts.insert(&kv);
        mounts.insert(&old);
        assert_eq!(mounts.find(&path("team/kv/a/b")), Some((kv.clone(), true)));
        assert_eq!(mounts.find(&path("old/a")), Some((old.clone(), true)));
        for other in ["team/kv2/a", "team/a", "team/kv", "x/team/kv/a", "older/a"] {
            assert_eq!(mounts.find(&path(other)), None, "{other}");
        }
        tokio::time::advance(MAX_RECENT_AGE).await;
        assert_eq!(mounts.find(&path("team/kv/a")), Some((kv.clone(), false)));
        mounts.remove(&kv);
        assert_eq!(mounts.find(&path("team/kv/a")), None);
        tokio::time::advance(MOUNT_TTL).await;
        assert_eq!(mounts.find(&path("old/a")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_mounts_is_bounded() {
        let mounts = Mounts::default();
        for number in 0..2 * MAX_MOUNTS {
            mounts.insert(&Mount::new(&format!("m{number}/"), Engine::KvV2));
        }
        assert_eq!(mounts.lock().len(), MAX_MOUNTS);
        tokio::time::advance(MOUNT_TTL).await;
        mounts.insert(&Mount::new("new/", Engine::KvV2));
        assert_eq!(mounts.lock().len(), 1);
    }
}
