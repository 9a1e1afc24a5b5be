//! Input files of the policy commands, with a size limit.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

/// Largest file of policies or cases; a server accepts no larger one either.
const MAX_BYTES: usize = 1024 * 1024;

/// The text of a file, or a line with the error. Pipes are read too: `-f <(...)`, and `-` is standard input.
pub fn text(file: &Path) -> Result<Zeroizing<String>, String> {
    text_of_at_most(file, MAX_BYTES).map_err(|reason| format!("{}: {reason}", file.display()))
}

/// The text of a file of at most `cap` bytes, overwritten when dropped, or a line with the error.
pub fn text_of_at_most(file: &Path, cap: usize) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {}", error.kind());
    let is_standard_input = file == Path::new("-");
    if !is_standard_input && fs::metadata(file).map_err(unreadable)?.is_dir() {
        return Err("is a directory".into());
    }
    // Full capacity from the start: a vector that grows leaves its old contents in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(cap + 1));
    let cap_and_one = cap as u64 + 1;
    let read = if is_standard_input {
        io::stdin().lock().take(cap_and_one).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(cap_and_one).read_to_end(&mut bytes))
    };
    read.map_err(unreadable)?;
    if bytes.len() > cap {
        return Err(format!("is larger than {} KiB", cap / 1024));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        "is not UTF-8".into()
    })
}
