//! Length-prefixed bytes: one writer and one reader, for what is sealed and what it is bound to.

/// The longest byte string that is read back.
const MAX_LENGTH: usize = (1 << 28) - 1;

/// How the length before each byte string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// Four bytes, little-endian.
    Fixed,
    /// Seven bits a byte, least significant first: one byte up to 127.
    Short,
}

/// The bytes are not what a writer of the same format writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are malformed")]
pub struct Malformed;

/// Appends values to a buffer.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    lengths: Lengths,
}

impl<'a> Writer<'a> {
    /// Appends to this buffer.
    pub const fn new(out: &'a mut Vec<u8>, lengths: Lengths) -> Self {
        Self { out, lengths }
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Bytes of a length that the reader knows.
    pub fn array(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// A length or count. One over 2^28 - 1 is written as a number that no reader accepts.
    pub fn length(&mut self, mut length: usize) {
        match self.lengths {
            Lengths::Fixed => self.out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()),
            Lengths::Short => {
                while length > 0x7F {
                    self.out.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
                    length >>= 7;
                }
                self.out.push(u8::try_from(length).unwrap_or_default());
            }
        }
    }

    /// A text behind its length.
    pub fn text(&mut self, text: &str) {
        self.length(text.len());
        self.out.extend(text.as_bytes());
    }

    /// A text that may be missing, behind a byte that says so.
    pub fn optional_text(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
}

/// Reads what a [`Writer`] with the same lengths wrote.
pub struct Reader<'a> {
    bytes: &'a [u8],
    lengths: Lengths,
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of the bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8], lengths: Lengths) -> Self {
        Self { bytes, lengths }
    }

    /// One byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// Bytes of a known length.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    /// A length or count. Bytes from elsewhere may state any, so it must not be used as a capacity.
    ///
    /// # Errors
    /// When there is none, or it is over 2^28 - 1.
    pub fn length(&mut self) -> Result<usize, Malformed> {
        match self.lengths {
            Lengths::Fixed => {
                let length = usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| Malformed)?;
                if length > MAX_LENGTH { Err(Malformed) } else { Ok(length) }
            }
            Lengths::Short => {
                let mut length = 0;
                for shift in [0, 7, 14, 21] {
                    let byte = self.byte()?;
                    length |= usize::from(byte & 0x7F) << shift;
                    if byte < 0x80 {
                        return Ok(length);
                    }
                }
                Err(Malformed)
            }
        }
    }

    /// A text behind its length.
    ///
    /// # Errors
    /// When there is none, or it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    /// A text that may be missing.
    ///
    /// # Errors
    /// When neither is there.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err(Malformed),
        }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub const fn end(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(Malformed)?;
        self.bytes = tail;
        Ok(head)
    }
}

/// Texts as associated data: each behind its length, so that different lists differ.
#[must_use]
pub fn joined(parts: &[&str]) -> Vec<u8> {
    let mut data = Vec::with_capacity(256);
    for part in parts {
        data.extend(length_of(part.as_bytes()));
        data.extend(part.as_bytes());
    }
    data
}

/// The length of a part of a digest or of associated data: eight bytes, little-endian.
pub(super) const fn length_of(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Lengths; 2] = [Lengths::Fixed, Lengths::Short];

    fn read(bytes: &[u8], lengths: Lengths) -> Result<(u8, [u8; 3], String, Option<String>), Malformed> {
        let mut reader = Reader::new(bytes, lengths);
        let read =
            (reader.byte()?, reader.array()?, reader.text()?.to_owned(), reader.optional_text()?.map(str::to_owned));
        reader.end().map(|()| read)
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote_and_no_part_of_it(byte: u8, array: [u8; 3], text: String, option: Option<String>) {
            for lengths in BOTH {
                let mut bytes = Vec::new();
                let mut writer = Writer::new(&mut bytes, lengths);
                writer.byte(byte);
                writer.array(&array);
                writer.text(&text);
                writer.optional_text(option.as_deref());
                prop_assert_eq!(read(&bytes, lengths), Ok((byte, array, text.clone(), option.clone())));
                for cut in 0..bytes.len() {
                    prop_assert_eq!(read(&bytes[..cut], lengths), Err(Malformed));
                }
                bytes.push(0);
                prop_assert_eq!(read(&bytes, lengths), Err(Malformed));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            for lengths in BOTH {
                let _ = read(&bytes, lengths);
            }
        }

        #[test]
        fn lengths_come_back_up_to_the_bound(length: usize) {
            for lengths in BOTH {
                for length in [length, length & MAX_LENGTH, MAX_LENGTH, MAX_LENGTH + 1, 127, 128] {
                    let mut bytes = Vec::new();
                    Writer::new(&mut bytes, lengths).length(length);
                    let read = Reader::new(&bytes, lengths).length();
                    prop_assert_eq!(read, if length > MAX_LENGTH { Err(Malformed) } else { Ok(length) });
                }
            }
        }
    }

    #[test]
    fn joined_parts_are_told_apart() {
        assert_ne!(joined(&["a", "b"]), joined(&["ab"]));
        assert_ne!(joined(&["a", "b"]), joined(&["a", "b", ""]));
        assert_eq!(joined(&["a"]), b"\x01\0\0\0\0\0\0\0a");
    }
}
