//! File stamps, which detect replaced or modified files without reading them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Identity, size and times of change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp([i64; 5], u64, u64);

impl FileStamp {
    /// The stamp of the file at a path; symbolic links, such as `..data` of the kubelet, are followed. `None` if its attributes
    /// cannot be read.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(Self::from)
    }
}

impl From<fs::Metadata> for FileStamp {
    fn from(file: fs::Metadata) -> Self {
        let size = i64::try_from(file.size()).unwrap_or(i64::MAX);
        Self([size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()], file.dev(), file.ino())
    }
}
