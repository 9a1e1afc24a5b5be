//! The characters of a bearer token.

/// Whether a text has only characters of a `token68` (RFC 9110), as every bearer token must (RFC 6750). The position of padding
/// (`=`) is not checked, because a token with padding inside is refused later.
#[must_use]
pub fn is_token68(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| IS_TOKEN68_BYTE[usize::from(byte)])
}

/// Whether a byte may be part of a token. A table, because each request has a token of about a thousand bytes.
const IS_TOKEN68_BYTE: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        allowed[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        byte += 1;
    }
    allowed
};
