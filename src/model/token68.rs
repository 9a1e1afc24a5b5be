//! The characters of a bearer token.

/// Whether a text has only characters of a `token68` (RFC 9110), the only form that a bearer token has (RFC 6750). Padding inside is not
/// refused here: no token with it is valid.
#[must_use]
pub fn is_token68(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| TOKEN68[usize::from(byte)])
}

/// Whether a byte may be part of a token. A table, because each request has about a thousand of them.
const TOKEN68: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        allowed[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        byte += 1;
    }
    allowed
};
