//! Checks values that are stored as base64 text (`encoding: base64`), and converts them to canonical base64.

use crate::model::secret::SecretValue;
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

/// Accepts missing padding, because some tools omit it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The value with padding and without white space; `None` if it is not base64 (RFC 4648, section 4). White space is
/// accepted because the `base64` command breaks lines and editors append a newline.
#[expect(clippy::disallowed_methods, reason = "the value is decoded to check that it is base64")]
pub(super) fn to_canonical(value: &SecretValue) -> Option<SecretValue> {
    let text = value.expose_secret();
    // Allocated with the final size: reallocation would leave copies of the secret in memory.
    let mut compact = Zeroizing::new(String::with_capacity(text.len()));
    compact.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(compact.len())));
    LENIENT.decode_vec(compact.as_bytes(), &mut bytes).ok()?;
    let mut padded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    STANDARD.encode_string(&*bytes, &mut padded);
    Some(SecretValue::new(padded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_made_canonical_and_other_text_is_refused() {
        let canonical = |text: &str| to_canonical(&SecretValue::new(text.into()));
        for (text, expected) in [("", ""), ("/u0=", "/u0="), ("/u0", "/u0="), (" /u\r\n0=\n", "/u0="), ("aGk=", "aGk=")]
        {
            assert_eq!(canonical(text), Some(SecretValue::new(expected.into())), "{text:?}");
        }
        for text in ["not base64!", "_u0=", "a", "aGk=aGk=", "aGl=", "é", "a=Gk", "===="] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
    }
}
