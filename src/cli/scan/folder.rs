//! Searches a folder or file on disk: names, link targets and contents. Links are not followed.

use super::sweep::Sweep;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Searches the folder; an error names what could not be read.
pub fn search(sweep: &mut Sweep<'_>, path: &Path) -> Result<(), String> {
    each(path, &mut |path| {
        let part = path.display().to_string();
        let kind = fs::symlink_metadata(path)?.file_type();
        if let Some(name) = path.file_name() {
            sweep.name(&part, None, name.as_bytes());
        }
        if kind.is_symlink() {
            sweep.name(&part, None, fs::read_link(path)?.as_os_str().as_bytes());
        } else if kind.is_file() {
            sweep.file(&mut File::open(path)?, &part)?;
        }
        Ok(())
    })
}

/// Visits a path and everything below it, ordered by name.
pub fn each(path: &Path, act: &mut dyn FnMut(&Path) -> std::io::Result<()>) -> Result<(), String> {
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let unreadable = |error: std::io::Error| format!("{}: cannot be read: {}", path.display(), error.kind());
        act(&path).map_err(unreadable)?;
        if fs::symlink_metadata(&path).map_err(unreadable)?.is_dir() {
            let entries = fs::read_dir(&path).map_err(unreadable)?;
            let mut below: Vec<PathBuf> =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
            below.sort_unstable_by(|a, b| b.cmp(a));
            waiting.append(&mut below);
        }
    }
    Ok(())
}
