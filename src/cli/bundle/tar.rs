//! An archive with one file for each key.

use std::io::Read as _;
use zeroize::Zeroizing;

/// The names and contents of the files; none if the archive is damaged.
pub fn read(archive: &[u8]) -> Option<Vec<(String, Zeroizing<Vec<u8>>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries().ok()? {
        let mut entry = entry.ok()?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).ok()?;
        let size = usize::try_from(entry.size()).ok()?;
        // Full capacity from the start: a vector that grows leaves its old contents in memory.
        let mut contents = Zeroizing::new(Vec::with_capacity(size.min(archive.len())));
        if entry.read_to_end(&mut contents).ok()? != size {
            return None;
        }
        files.push((name, contents));
    }
    Some(files)
}
