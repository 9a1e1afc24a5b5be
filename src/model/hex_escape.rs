//! The escape of one byte as a marker and two hexadecimal digits, such as `%2F`. Used by both encodings of path segments.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends the escape of a byte, with upper-case digits.
pub(super) fn append(text: &mut String, marker: char, byte: u8) {
    text.push(marker);
    text.push(char::from(HEX[usize::from(byte >> 4)]));
    text.push(char::from(HEX[usize::from(byte & 0xf)]));
}

/// Decodes a text byte by byte. `escaped` gets the two bytes after a marker, or fewer at the end of the text. `unescaped` gets
/// every other byte.
///
/// # Errors
/// The first error of `escaped` or `unescaped`.
pub(super) fn decode<E>(
    text: &str,
    marker: u8,
    escaped: impl Fn(&[u8]) -> Result<u8, E>,
    unescaped: impl Fn(u8) -> Result<u8, E>,
) -> Result<Vec<u8>, E> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == marker {
            let (digits, after) = after.split_at(after.len().min(2));
            bytes.push(escaped(digits)?);
            rest = after;
        } else {
            bytes.push(unescaped(*byte)?);
            rest = after;
        }
    }
    Ok(bytes)
}

/// The value of two hexadecimal digits of either case. `None` for other bytes.
pub(super) fn parse_digits(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let [high, low] =
        [high, low].map(|digit| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok()));
    Some(high? << 4 | low?)
}
