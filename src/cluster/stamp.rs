//! What tells whether a file has been replaced or written to, without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The file that a path leads to, links followed, and when it was changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([i64; 5], u64, u64);

impl Stamp {
    /// None where there is no file.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        let size = i64::try_from(file.size()).unwrap_or(i64::MAX);
        Some(Self([size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()], file.dev(), file.ino()))
    }
}
