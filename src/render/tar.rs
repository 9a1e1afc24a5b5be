//! An archive with one file per key, for `tar x`. Mode (0400), owner (root) and time (1970) are fixed, so that equal
//! bundles give equal bytes. The format is ustar, which every tar reads. An empty bundle is an empty archive: two blocks of zeros.
//!
//! A name must be one safe path component, so that extraction writes only into the target folder and the names can
//! be passed to a command. A name does not begin with a dash (`cat *` would take it for an option), has no control
//! characters, and has at most 100 bytes, the limit of ustar. Names with a leading dot are ordinary
//! (`.dockerconfigjson`, `.npmrc`): extract into a separate folder, not into a home directory.
//!
//! No crate is used, because a crate would copy values to other buffers.

use super::binary_values::value_bytes;
use super::port::{Emit, UnrenderableReason};
use crate::model::bundle::{Bundle, Entry};

const BLOCK_BYTES: usize = 512;
const MAX_NAME_BYTES: usize = 100;

pub(super) fn check(name: &str, _entry: &Entry) -> Result<(), UnrenderableReason> {
    let is_component = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\']);
    if is_component && name.len() <= MAX_NAME_BYTES && !name.starts_with('-') && !name.contains(char::is_control) {
        Ok(())
    } else {
        Err(UnrenderableReason::NotAFileName)
    }
}

pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    for (name, entry) in &bundle.entries {
        let value = value_bytes(entry);
        emit(&header(name, value.len()));
        emit(&value);
        emit(&ZEROS[..value.len().next_multiple_of(BLOCK_BYTES) - value.len()]);
    }
    emit(&ZEROS);
    emit(&ZEROS);
}

/// The POSIX.1-1988 header, including its checksum.
fn header(name: &str, length: usize) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |offset: usize, text: &[u8]| header[offset..offset + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000400\0");
    put(108, b"0000000\0"); // uid
    put(116, b"0000000\0"); // gid
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // mtime
    put(148, b"        "); // checksum, computed as if it were spaces
    put(156, b"0"); // regular file
    put(257, b"ustar\x0000");
    put(329, b"0000000\0"); // devmajor
    put(337, b"0000000\0"); // devminor
    let checksum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    header
}
