//! Reads files with secrets, up to a maximum size, into memory that is overwritten on drop.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

/// Why a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileError {
    /// The file is missing, not readable, or not UTF-8.
    Unreadable,
    /// The file is larger than the maximum.
    TooLarge,
}

/// Reads a file of at most `max_bytes`. Blocks the thread.
///
/// # Errors
/// See [`FileError`].
pub(super) fn read(path: &Path, max_bytes: usize) -> Result<Zeroizing<String>, FileError> {
    let file = File::open(path).map_err(|_| FileError::Unreadable)?;
    let limit = max_bytes.saturating_add(1);
    let length = file.metadata().map_err(|_| FileError::Unreadable)?.len();
    // Enough for the whole file and one byte more: a vector that grows leaves its old content in memory.
    let capacity = usize::try_from(length).unwrap_or(limit).saturating_add(1).min(limit);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit as u64).read_to_end(&mut bytes).map_err(|_| FileError::Unreadable)?;
    if bytes.len() > max_bytes {
        return Err(FileError::TooLarge);
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(FileError::Unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_larger_than_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).as_deref().map(String::as_str), Ok("12345"));
        assert_eq!(read(&path, 4), Err(FileError::TooLarge));
    }

    #[test]
    fn missing_files_folders_and_files_that_are_not_utf_8_are_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let latin = dir.path().join("latin");
        std::fs::write(&latin, [0xe9]).unwrap();
        for path in [dir.path().join("none"), dir.path().to_owned(), latin] {
            assert_eq!(read(&path, 5), Err(FileError::Unreadable));
        }
    }
}
