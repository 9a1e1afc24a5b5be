//! Length-prefixed binary encoding of sealed messages and of their associated data.

/// The maximum length that a decoder accepts.
const MAX_LENGTH: usize = (1 << 28) - 1;

/// The encoding of lengths and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthEncoding {
    /// Four bytes, little-endian.
    U32,
    /// Unsigned LEB128: seven bits per byte, least significant first.
    Leb128,
}

/// The bytes are incomplete or malformed, contain a length over 2^28 - 1, or have bytes left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are malformed")]
pub struct DecodeError;

/// Appends encoded values to a buffer.
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    lengths: LengthEncoding,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>, lengths: LengthEncoding) -> Self {
        Self { out, lengths }
    }

    /// Appends one byte.
    pub fn push_byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Appends bytes without their length, which the decoder must know.
    pub fn push_array(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// Appends a length or count. A decoder refuses a length over 2^28 - 1.
    pub fn push_length(&mut self, mut length: usize) {
        match self.lengths {
            LengthEncoding::U32 => self.out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()),
            LengthEncoding::Leb128 => {
                while length > 0x7F {
                    self.out.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
                    length >>= 7;
                }
                self.out.push(u8::try_from(length).unwrap_or_default());
            }
        }
    }

    /// Appends the length of a text, then the text.
    pub fn push_text(&mut self, text: &str) {
        self.push_length(text.len());
        self.out.extend(text.as_bytes());
    }

    /// Appends 0 for `None`, or 1 and the text with its length.
    pub fn push_optional_text(&mut self, text: Option<&str>) {
        self.push_byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.push_text(text);
        }
    }
}

/// Decodes what an [`Encoder`] with the same length encoding appended.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    lengths: LengthEncoding,
}

impl<'a> Decoder<'a> {
    /// A decoder at the beginning of the bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8], lengths: LengthEncoding) -> Self {
        Self { bytes, lengths }
    }

    /// Decodes one byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn take_byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take_bytes(1)?[0])
    }

    /// Decodes `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take_bytes(N)?.try_into().map_err(|_| DecodeError)
    }

    /// Decodes a length or count. It is not checked against the remaining bytes, so it must not be used as a capacity.
    ///
    /// # Errors
    /// When the length is incomplete, or over 2^28 - 1.
    pub fn take_length(&mut self) -> Result<usize, DecodeError> {
        match self.lengths {
            LengthEncoding::U32 => {
                let length = usize::try_from(u32::from_le_bytes(self.take_array()?)).map_err(|_| DecodeError)?;
                if length > MAX_LENGTH { Err(DecodeError) } else { Ok(length) }
            }
            LengthEncoding::Leb128 => {
                let mut length = 0;
                for shift in [0, 7, 14, 21] {
                    let byte = self.take_byte()?;
                    length |= usize::from(byte & 0x7F) << shift;
                    if byte < 0x80 {
                        return Ok(length);
                    }
                }
                Err(DecodeError)
            }
        }
    }

    /// Decodes a text.
    ///
    /// # Errors
    /// When the text is incomplete, or not UTF-8.
    pub fn take_text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.take_length()?;
        std::str::from_utf8(self.take_bytes(length)?).map_err(|_| DecodeError)
    }

    /// Decodes a text or `None`.
    ///
    /// # Errors
    /// When the first byte is not 0 or 1, or the text is incomplete or not UTF-8.
    pub fn take_optional_text(&mut self) -> Result<Option<&'a str>, DecodeError> {
        match self.take_byte()? {
            0 => Ok(None),
            1 => self.take_text().map(Some),
            _ => Err(DecodeError),
        }
    }

    /// Checks that all bytes were decoded.
    ///
    /// # Errors
    /// When bytes are left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError) }
    }

    fn take_bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(DecodeError)?;
        self.bytes = tail;
        Ok(head)
    }
}

/// Encodes texts as associated data. Each text follows its length, so different lists have different encodings.
#[must_use]
pub fn encode_parts(parts: &[&str]) -> Vec<u8> {
    let mut data = Vec::with_capacity(256);
    for part in parts {
        data.extend(length_prefix(part.as_bytes()));
        data.extend(part.as_bytes());
    }
    data
}

/// The length before a part of associated data or of a digest: eight bytes, little-endian.
pub(super) const fn length_prefix(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LENGTH_ENCODINGS: [LengthEncoding; 2] = [LengthEncoding::U32, LengthEncoding::Leb128];

    fn decode(bytes: &[u8], lengths: LengthEncoding) -> Result<(u8, [u8; 3], String, Option<String>), DecodeError> {
        let mut decoder = Decoder::new(bytes, lengths);
        let decoded = (
            decoder.take_byte()?,
            decoder.take_array()?,
            decoder.take_text()?.to_owned(),
            decoder.take_optional_text()?.map(str::to_owned),
        );
        decoder.finish().map(|()| decoded)
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded_and_no_truncated_or_longer_bytes(byte: u8, array: [u8; 3], text: String, option: Option<String>) {
            for lengths in LENGTH_ENCODINGS {
                let mut bytes = Vec::new();
                let mut encoder = Encoder::new(&mut bytes, lengths);
                encoder.push_byte(byte);
                encoder.push_array(&array);
                encoder.push_text(&text);
                encoder.push_optional_text(option.as_deref());
                prop_assert_eq!(decode(&bytes, lengths), Ok((byte, array, text.clone(), option.clone())));
                for cut in 0..bytes.len() {
                    prop_assert_eq!(decode(&bytes[..cut], lengths), Err(DecodeError));
                }
                bytes.push(0);
                prop_assert_eq!(decode(&bytes, lengths), Err(DecodeError));
            }
        }

        #[test]
        fn decoding_arbitrary_bytes_does_not_panic(bytes: Vec<u8>) {
            for lengths in LENGTH_ENCODINGS {
                let _ = decode(&bytes, lengths);
            }
        }

        #[test]
        fn lengths_up_to_the_maximum_are_decoded(length: usize) {
            for lengths in LENGTH_ENCODINGS {
                for length in [length, length & MAX_LENGTH, MAX_LENGTH, MAX_LENGTH + 1, 127, 128] {
                    let mut bytes = Vec::new();
                    Encoder::new(&mut bytes, lengths).push_length(length);
                    let read = Decoder::new(&bytes, lengths).take_length();
                    prop_assert_eq!(read, if length > MAX_LENGTH { Err(DecodeError) } else { Ok(length) });
                }
            }
        }
    }

    #[test]
    fn different_lists_of_parts_have_different_encodings() {
        assert_ne!(encode_parts(&["a", "b"]), encode_parts(&["ab"]));
        assert_ne!(encode_parts(&["a", "b"]), encode_parts(&["a", "b", ""]));
        assert_eq!(encode_parts(&["a"]), b"\x01\0\0\0\0\0\0\0a");
    }
}
