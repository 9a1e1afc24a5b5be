//! Unpacks the format `tar`: an archive with one file for each key.

use std::io::Read as _;
use zeroize::Zeroizing;

/// Returns the names and contents of the files. `None` if the archive is damaged.
pub fn unpack(archive: &[u8]) -> Option<Vec<(String, Zeroizing<Vec<u8>>)>> {
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
