//! Values stored as base64 text (`encoding: base64`): checked, and converted to one canonical spelling.

use crate::model::secret::SecretValue;
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

/// Accepts missing padding, which some tools omit.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The value with padding and without white space; `None` if it is not base64 (RFC 4648, 4). `base64` breaks
/// lines, and editors add a final newline.
#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it is base64")]
pub(super) fn canonical(value: &SecretValue) -> Option<SecretValue> {
    let text = value.expose_secret();
    // Allocated with the final size: a growing buffer would leave copies behind.
    let mut bare = Zeroizing::new(String::with_capacity(text.len()));
    bare.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(bare.len())));
    LENIENT.decode_vec(bare.as_bytes(), &mut bytes).ok()?;
    let mut padded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    STANDARD.encode_string(&*bytes, &mut padded);
    Some(SecretValue::new(padded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling_and_the_rest_is_refused() {
        let canonical = |text: &str| canonical(&SecretValue::new(text.into()));
        for (text, expected) in [("", ""), ("/u0=", "/u0="), ("/u0", "/u0="), (" /u\r\n0=\n", "/u0="), ("aGk=", "aGk=")]
        {
            assert_eq!(canonical(text), Some(SecretValue::new(expected.into())), "{text:?}");
        }
        for text in ["not base64!", "_u0=", "a", "aGk=aGk=", "aGl=", "é", "a=Gk", "===="] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
    }
}
