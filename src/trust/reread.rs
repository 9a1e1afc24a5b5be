//! A value built from files, and rebuilt when one of them changes.

use arc_swap::ArcSwap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Detects a change of a file. Symbolic links (the kubelet's `..data`) are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    length: u64,
    device: u64,
    /// A replacement file may have an old time.
    inode: u64,
}

/// The stamps of some files; `None` for a file that cannot be inspected.
pub(super) fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let seen = std::fs::metadata(file).ok()?;
    Some(Stamp { modified: seen.modified().ok()?, length: seen.len(), device: seen.dev(), inode: seen.ino() })
}

type Make<T> = fn(&[PathBuf]) -> Option<T>;

/// The value built from the last good files.
pub(super) struct Reread<T> {
    owner: Box<str>,
    setting: &'static str,
    files: Vec<PathBuf>,
    make: Make<T>,
    current: ArcSwap<Made<T>>,
}

struct Made<T> {
    /// Stamps of the files at the last read, good or not.
    stamps: Vec<Option<Stamp>>,
    value: Arc<T>,
}

impl<T> Reread<T> {
    /// Reads the files. `owner` and `setting` are for the log.
    ///
    /// # Errors
    /// The files cannot be used.
    pub(super) fn open(owner: &str, setting: &'static str, files: Vec<PathBuf>, make: Make<T>) -> Result<Self, ()> {
        // The stamps are taken before reading, so that a file replaced in between is read again.
        let stamps = stamps(&files);
        let value = Arc::new(make(&files).ok_or(())?);
        let current = ArcSwap::from_pointee(Made { stamps, value });
        Ok(Self { owner: owner.into(), setting, files, make, current })
    }

    /// The current value. Checks the stamps, and reads the files only after a change. Reading files of this size
    /// takes less time than the handshake that waits for them.
    pub(super) fn current(&self) -> Arc<T> {
        let last = self.current.load_full();
        let stamps = stamps(&self.files);
        if stamps == last.stamps {
            return last.value.clone();
        }
        self.read(stamps, &last).0
    }

    /// Reads the files now, changed or not.
    ///
    /// # Errors
    /// The files cannot be used; the last good value stays.
    pub(super) fn reload(&self) -> Result<(), ()> {
        let last = self.current.load_full();
        if self.read(stamps(&self.files), &last).1 { Ok(()) } else { Err(()) }
    }

    fn read(&self, stamps: Vec<Option<Stamp>>, last: &Made<T>) -> (Arc<T>, bool) {
        let (owner, setting) = (&*self.owner, self.setting);
        let made = (self.make)(&self.files).map(Arc::new);
        let good = made.is_some();
        if good {
            tracing::info!(owner, setting, "certificates reloaded");
        } else {
            tracing::error!(owner, setting, "certificate reload failed; keeping the previous certificates");
        }
        let value = made.unwrap_or_else(|| last.value.clone());
        self.current.store(Arc::new(Made { stamps, value: value.clone() }));
        (value, good)
    }
}

impl<T> fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("owner", &self.owner).field("setting", &self.setting).finish_non_exhaustive()
    }
}
