//! Detects the kind of a file by its first bytes.

use std::io::{self, Chain, Cursor, Read};

/// Number of bytes that detection needs, the length of a tar header.
const HEAD_BYTES: usize = 512;

/// A reader of the bytes that detection has read, followed by the rest.
pub type PeekedReader<R> = Chain<Cursor<Vec<u8>>, R>;

/// The kind of the contents of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentKind {
    Gzip,
    Zstd,
    /// An archive whose files are searched separately.
    Tar,
    /// A compression format that is not supported: xz, bzip2, zip, 7z, lz4.
    Unsupported,
    /// Anything else, which is searched without decompression.
    Plain,
}

impl ContentKind {
    /// Detects the kind of a reader's contents. Returns it with a reader of all contents.
    pub fn peek<R: Read>(mut reader: R) -> io::Result<(Self, PeekedReader<R>)> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok((Self::detect(&head), Cursor::new(head).chain(reader)))
    }

    /// Detects the kind of a file that begins with these bytes.
    pub fn detect(head: &[u8]) -> Self {
        const UNSUPPORTED: [&[u8]; 5] =
            [b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x04\x22\x4d\x18"];
        let is_skippable_frame = head.len() >= 4 && (0x50..=0x5f).contains(&head[0]) && head[1..4] == *b"\x2a\x4d\x18";
        if head.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if head.starts_with(b"\x28\xb5\x2f\xfd") || is_skippable_frame {
            Self::Zstd
        } else if is_tar(head) {
            Self::Tar
        } else if UNSUPPORTED.iter().any(|magic| head.starts_with(magic)) {
            Self::Unsupported
        } else {
            Self::Plain
        }
    }
}

/// Whether these bytes begin with a tar header. The oldest form has no magic bytes, so the checksum decides. An empty
/// archive is all zeros.
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<HEAD_BYTES>() else { return false };
    if header.iter().all(|byte| *byte == 0) {
        return true;
    }
    let mut blank = *header;
    blank[148..156].fill(b' ');
    let sum: u32 = blank.iter().copied().map(u32::from).sum();
    let checksum = std::str::from_utf8(&header[148..156]).unwrap_or_default();
    u32::from_str_radix(checksum.trim_matches(['\0', ' ']), 8) == Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_detected_by_the_first_bytes() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_cksum();
        archive.append_data(&mut header, "a", &b"b"[..]).expect("a file");
        let archive = archive.into_inner().expect("an archive");
        for (head, kind) in [
            (&archive[..], ContentKind::Tar),
            (&[0; 1024], ContentKind::Tar),
            (&[0; 100], ContentKind::Plain),
            (b"", ContentKind::Plain),
            (b"\x1f\x8b\x08", ContentKind::Gzip),
            (b"\x28\xb5\x2f\xfd", ContentKind::Zstd),
            (b"\x50\x2a\x4d\x18", ContentKind::Zstd),
            (b"PK\x03\x04", ContentKind::Unsupported),
            (b"{\"a\":1}", ContentKind::Plain),
        ] {
            assert_eq!(ContentKind::detect(head), kind, "{:?}", &head[..head.len().min(8)]);
        }
    }
}
