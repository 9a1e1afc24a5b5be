//! The kind of a file, by its first bytes.

use std::io::{self, Chain, Cursor, Read};

/// Number of bytes needed.
const HEAD_BYTES: usize = 512;

/// The bytes read ahead, followed by the rest.
pub type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Unpacked by us.
    Gzip,
    /// Unpacked by us.
    Zstd,
    /// An archive whose files are searched separately.
    Tar,
    /// Not supported: xz, bzip2, zip, 7z, lz4.
    Closed,
    /// Anything else: searched as it is.
    Plain,
}

impl Kind {
    /// The kind of a reader's contents, and a reader of all of them.
    pub fn peek<R: Read>(mut reader: R) -> io::Result<(Self, Peeked<R>)> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok((Self::of(&head), Cursor::new(head).chain(reader)))
    }

    /// The kind of a file that begins with these bytes.
    pub fn of(head: &[u8]) -> Self {
        const CLOSED: [&[u8]; 5] = [b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x04\x22\x4d\x18"];
        let skippable = head.len() >= 4 && (0x50..=0x5f).contains(&head[0]) && head[1..4] == *b"\x2a\x4d\x18";
        if head.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if head.starts_with(b"\x28\xb5\x2f\xfd") || skippable {
            Self::Zstd
        } else if is_tar(head) {
            Self::Tar
        } else if CLOSED.iter().any(|mark| head.starts_with(mark)) {
            Self::Closed
        } else {
            Self::Plain
        }
    }
}

/// Whether these bytes are a tar header, by its checksum: the oldest have no magic bytes. An empty archive is all zeros.
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<HEAD_BYTES>() else { return false };
    if header.iter().all(|byte| *byte == 0) {
        return true;
    }
    let mut blank = *header;
    blank[148..156].fill(b' ');
    let sum: u32 = blank.iter().copied().map(u32::from).sum();
    let told = std::str::from_utf8(&header[148..156]).unwrap_or_default();
    u32::from_str_radix(told.trim_matches(['\0', ' ']), 8) == Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_give_the_kind() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_cksum();
        archive.append_data(&mut header, "a", &b"b"[..]).expect("a file");
        let archive = archive.into_inner().expect("an archive");
        for (head, kind) in [
            (&archive[..], Kind::Tar),
            (&[0; 1024], Kind::Tar),
            (&[0; 100], Kind::Plain),
            (b"", Kind::Plain),
            (b"\x1f\x8b\x08", Kind::Gzip),
            (b"\x28\xb5\x2f\xfd", Kind::Zstd),
            (b"\x50\x2a\x4d\x18", Kind::Zstd),
            (b"PK\x03\x04", Kind::Closed),
            (b"{\"a\":1}", Kind::Plain),
        ] {
            assert_eq!(Kind::of(head), kind, "{:?}", &head[..head.len().min(8)]);
        }
    }
}
