//! A bundle as bytes and back: what is sealed. Each text is its length in four bytes, little-endian, and its bytes.

use crate::model::bundle::{Bundle, Entry};
use crate::model::secret::SecretValue;
use zeroize::Zeroizing;

/// Flags of an entry.
const NAMED_BY_POLICY: u8 = 1;
const IS_BASE64: u8 = 2;

/// The bytes do not hold a bundle. They were sealed by us, so this is a fault of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes are no bundle")]
pub struct NotABundle;

/// Writes a bundle, with `spare` bytes of capacity behind it, so that sealing in place does not leave a copy by growing.
///
/// # Errors
/// When a text is longer than 4 GiB.
pub fn encode(bundle: &Bundle, spare: usize) -> Result<Zeroizing<Vec<u8>>, NotABundle> {
    let size = bundle.entries.iter().fold(1 + 4 + bundle.versions.len() + 4, |size, (name, entry)| {
        size + 1 + 4 + name.len() + 4 + entry.value.len()
    });
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + spare));
    bytes.push(u8::from(bundle.stale));
    put_text(&mut bytes, &bundle.versions)?;
    bytes.extend(u32::try_from(bundle.entries.len()).map_err(|_| NotABundle)?.to_le_bytes());
    for (name, entry) in &bundle.entries {
        let named = if entry.named_by_policy { NAMED_BY_POLICY } else { 0 };
        bytes.push(named | if entry.is_base64 { IS_BASE64 } else { 0 });
        put_text(&mut bytes, name)?;
        put_value(&mut bytes, &entry.value)?;
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "sealing is what the value is exposed for")]
fn put_value(bytes: &mut Vec<u8>, value: &SecretValue) -> Result<(), NotABundle> {
    put_text(bytes, value.expose_secret())
}

fn put_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), NotABundle> {
    bytes.extend(u32::try_from(text.len()).map_err(|_| NotABundle)?.to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}

/// Reads a bundle back.
///
/// # Errors
/// When the bytes are not exactly what [`encode`] writes.
pub fn decode(mut bytes: &[u8]) -> Result<Bundle, NotABundle> {
    let input = &mut bytes;
    let mut bundle = Bundle { stale: take_byte(input)? != 0, versions: take_text(input)?, ..Bundle::default() };
    for _ in 0..take_length(input)? {
        let flags = take_byte(input)?;
        let (named_by_policy, is_base64) = (flags & NAMED_BY_POLICY != 0, flags & IS_BASE64 != 0);
        let name = take_text(input)?;
        let value = SecretValue::new(take_text(input)?);
        bundle.entries.insert(name, Entry { value, named_by_policy, is_base64 });
    }
    if input.is_empty() { Ok(bundle) } else { Err(NotABundle) }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], NotABundle> {
    let (head, tail) = input.split_at_checked(count).ok_or(NotABundle)?;
    *input = tail;
    Ok(head)
}

fn take_byte(input: &mut &[u8]) -> Result<u8, NotABundle> {
    Ok(take(input, 1)?[0])
}

fn take_length(input: &mut &[u8]) -> Result<usize, NotABundle> {
    let mut length = [0; 4];
    length.copy_from_slice(take(input, 4)?);
    usize::try_from(u32::from_le_bytes(length)).map_err(|_| NotABundle)
}

fn take_text(input: &mut &[u8]) -> Result<String, NotABundle> {
    let length = take_length(input)?;
    std::str::from_utf8(take(input, length)?).map(str::to_owned).map_err(|_| NotABundle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(stale: bool, versions: String, entries in prop::collection::btree_map(any::<String>(), any::<(String, bool, bool)>(), 0..8)) {
            let entries = entries
                .into_iter()
                .map(|(name, (value, named_by_policy, is_base64))| {
                    (name, Entry { value: SecretValue::new(value), named_by_policy, is_base64 })
                })
                .collect();
            let bundle = Bundle { entries, stale, versions };
            let bytes = encode(&bundle, 16).expect("short");
            prop_assert_eq!(decode(&bytes), Ok(bundle));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Err(NotABundle));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
