//! The binary encoding of a bundle: the plaintext of a sealed bundle.

use crate::model::bundle::{Bundle, Entry};
use crate::model::secret::SecretValue;
use crate::sealing::codec::{DecodeError, Decoder, Encoder, LengthEncoding};

/// Flags of an entry.
const NAMED_BY_POLICY_FLAG: u8 = 1;
const IS_BASE64_FLAG: u8 = 2;

/// The number of bytes that [`encode`] writes.
pub fn encoded_size(bundle: &Bundle) -> usize {
    bundle.entries.iter().fold(1 + 4 + bundle.versions.len() + 4, |size, (name, entry)| {
        size + 1 + 4 + name.len() + 4 + entry.value.len()
    })
}

/// Appends the encoded bundle to `out`.
pub fn encode(bundle: &Bundle, out: &mut Vec<u8>) {
    let mut out = Encoder::new(out, LengthEncoding::U32);
    out.push_byte(u8::from(bundle.stale));
    out.push_text(&bundle.versions);
    out.push_length(bundle.entries.len());
    for (name, entry) in &bundle.entries {
        let named = if entry.named_by_policy { NAMED_BY_POLICY_FLAG } else { 0 };
        out.push_byte(named | if entry.is_base64 { IS_BASE64_FLAG } else { 0 });
        out.push_text(name);
        encode_value(&mut out, &entry.value);
    }
}

#[expect(clippy::disallowed_methods, reason = "sealing is what the value is exposed for")]
fn encode_value(out: &mut Encoder<'_>, value: &SecretValue) {
    out.push_text(value.expose_secret());
}

/// Decodes a bundle.
///
/// # Errors
/// When the bytes are not exactly what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<Bundle, DecodeError> {
    let mut input = Decoder::new(bytes, LengthEncoding::U32);
    let (stale, versions) = (input.take_byte()? != 0, input.take_text()?.to_owned());
    let mut bundle = Bundle { stale, versions, ..Bundle::default() };
    for _ in 0..input.take_length()? {
        let flags = input.take_byte()?;
        let (named_by_policy, is_base64) = (flags & NAMED_BY_POLICY_FLAG != 0, flags & IS_BASE64_FLAG != 0);
        let name = input.take_text()?.to_owned();
        let value = SecretValue::new(input.take_text()?.to_owned());
        bundle.entries.insert(name, Entry { value, named_by_policy, is_base64 });
    }
    input.finish().map(|()| bundle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decode_returns_what_was_encoded(stale: bool, versions: String, entries in prop::collection::btree_map(any::<String>(), any::<(String, bool, bool)>(), 0..8)) {
            let entries = entries
                .into_iter()
                .map(|(name, (value, named_by_policy, is_base64))| {
                    (name, Entry { value: SecretValue::new(value), named_by_policy, is_base64 })
                })
                .collect();
            let bundle = Bundle { entries, stale, versions };
            let mut bytes = Vec::new();
            encode(&bundle, &mut bytes);
            prop_assert_eq!(bytes.len(), encoded_size(&bundle));
            prop_assert_eq!(decode(&bytes), Ok(bundle));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Err(DecodeError));
            }
        }

        #[test]
        fn decode_never_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
