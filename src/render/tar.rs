//! One file for each key, for `tar x`: mode 0400, owned by root, dated 1970, so that the same bundle gives the same
//! bytes. Plain ustar, which every tar reads; an empty bundle is an empty archive, two blocks of zeros.
//!
//! A name must be one safe component of a path: extracting can write nowhere but into the folder, and the names in it
//! can be passed to a command. It begins with no dash (`cat *` would take it for an option), has no control characters,
//! and no more than the 100 bytes that ustar has for it. Names with a dot at their beginning are ordinary
//! (`.dockerconfigjson`, `.npmrc`): extract into a folder of its own, not into a home.
//!
//! Written here and not by a crate: it is one header, and a value goes nowhere but to `emit`.

use super::encoded::bytes;
use super::port::{Emit, Reason};
use crate::model::bundle::{Bundle, Entry};

const BLOCK: usize = 512;
const MAX_NAME: usize = 100;

pub(super) fn check(name: &str, _entry: &Entry) -> Result<(), Reason> {
    let component = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\']);
    if component && name.len() <= MAX_NAME && !name.starts_with('-') && !name.contains(char::is_control) {
        Ok(())
    } else {
        Err(Reason::NotAFileName)
    }
}

pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    for (name, entry) in &bundle.entries {
        let value = bytes(entry);
        emit(&header(name, value.len()));
        emit(&value);
        emit(&ZEROS[..value.len().next_multiple_of(BLOCK) - value.len()]);
    }
    emit(&ZEROS);
    emit(&ZEROS);
}

/// The header of POSIX.1-1988, with the sum of its own bytes in it.
fn header(name: &str, length: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000400\0");
    put(108, b"0000000\0"); // uid
    put(116, b"0000000\0"); // gid
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // mtime
    put(148, b"        "); // the sum, counted as spaces
    put(156, b"0"); // an ordinary file
    put(257, b"ustar\x0000");
    put(329, b"0000000\0"); // devmajor
    put(337, b"0000000\0"); // devminor
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
