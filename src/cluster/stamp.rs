//! Detects replaced or modified files without reading them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Identity, size and time of change of the file behind a path, symbolic links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([i64; 5], u64, u64);

impl Stamp {
    /// `None` if the file does not exist.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        let size = i64::try_from(file.size()).unwrap_or(i64::MAX);
        Some(Self([size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()], file.dev(), file.ino()))
    }
}
