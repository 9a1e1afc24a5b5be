//! Decodes percent-encoded form and query values (`application/x-www-form-urlencoded`).

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The text has a `%` without two hexadecimal digits, or its decoded bytes are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

/// Decodes a value; `+` is a space. A `%` without two digits is refused: accepted literally, it could select another branch than
/// the client meant.
pub fn decode(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    let is_hex = |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_hex) {
        return Err(DecodeError);
    }
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().map_err(|_| DecodeError);
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(|_| DecodeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_escapes_of_utf8_are_decoded() {
        for (text, decoded) in
            [("", ""), ("a/b", "a/b"), ("a%2Fb+c", "a/b c"), ("%25", "%"), ("%2B", "+"), ("%C3%A9", "é")]
        {
            assert_eq!(decode(text).as_deref(), Ok(decoded), "{text}");
        }
        for text in ["%", "%2", "%zz", "100%", "%+1", "%ff", "a+%ff", "%C3"] {
            assert_eq!(decode(text), Err(DecodeError), "{text}");
        }
    }
}
