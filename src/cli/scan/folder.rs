//! Searches the names, link targets and contents of a folder or file. Links are not followed.

use super::scanner::Scanner;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Searches the folder. The error names the file that could not be read.
pub fn search(scanner: &mut Scanner<'_>, path: &Path) -> Result<(), String> {
    walk(path, &mut |path| {
        let part = path.display().to_string();
        let kind = fs::symlink_metadata(path)?.file_type();
        if let Some(name) = path.file_name() {
            scanner.search_name(&part, None, name.as_bytes());
        }
        if kind.is_symlink() {
            scanner.search_name(&part, None, fs::read_link(path)?.as_os_str().as_bytes());
        } else if kind.is_file() {
            scanner.search_file(&mut File::open(path)?, &part)?;
        }
        Ok(())
    })
}

/// Visits a path and everything below it, in the order of names.
pub fn walk(path: &Path, visit: &mut dyn FnMut(&Path) -> std::io::Result<()>) -> Result<(), String> {
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let unreadable = |error: std::io::Error| format!("{}: cannot be read: {}", path.display(), error.kind());
        visit(&path).map_err(unreadable)?;
        if fs::symlink_metadata(&path).map_err(unreadable)?.is_dir() {
            let entries = fs::read_dir(&path).map_err(unreadable)?;
            let mut children: Vec<PathBuf> =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
            children.sort_unstable_by(|a, b| b.cmp(a));
            pending.append(&mut children);
        }
    }
    Ok(())
}
