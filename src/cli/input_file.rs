//! Reads input files of bounded size.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

/// Maximum size of a file of policies or of test cases. A server accepts no larger file of policies either.
const MAX_BYTES: usize = 1024 * 1024;

/// Reads a file of policies or of test cases; `-` is standard input. The file may be a pipe. The error is one line.
pub fn read_text(file: &Path) -> Result<Zeroizing<String>, String> {
    read_text_bounded(file, MAX_BYTES).map_err(|reason| format!("{}: {reason}", file.display()))
}

/// Reads a file; `-` is standard input. The text is overwritten when dropped. The error is one line, also for a file of more
/// than `max_bytes`.
pub fn read_text_bounded(file: &Path, max_bytes: usize) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {}", error.kind());
    let is_standard_input = file == Path::new("-");
    if !is_standard_input && fs::metadata(file).map_err(unreadable)?.is_dir() {
        return Err("is a directory".into());
    }
    // Full capacity from the start: a vector that grows leaves its old contents in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_bytes + 1));
    let read_limit = max_bytes as u64 + 1;
    let read = if is_standard_input {
        io::stdin().lock().take(read_limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(read_limit).read_to_end(&mut bytes))
    };
    read.map_err(unreadable)?;
    if bytes.len() > max_bytes {
        return Err(format!("is larger than {} KiB", max_bytes / 1024));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        "is not UTF-8".into()
    })
}
