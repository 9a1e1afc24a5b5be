//! The space on the file system of an SQLite file.

use std::path::Path;

/// The space of a file system.
#[derive(Debug, Clone, Copy)]
pub struct DiskSpace {
    /// Bytes available to unprivileged processes.
    pub free: u64,
    /// Total bytes.
    pub total: u64,
}

/// Reads the space of the file system that has this file or folder.
///
/// # Errors
/// The operating system reports an error.
pub fn disk_space(path: &Path) -> std::io::Result<DiskSpace> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(DiskSpace {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_not_more_than_total_space() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = disk_space(folder.path()).expect("space");
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert!(disk_space(&folder.path().join("none")).is_err());
    }
}
