//! Binary values, which a bundle has as base64 text.
//!
//! `raw` and `tar` return the bytes, `json` the base64 text. All other formats need text: they return bytes that are
//! valid UTF-8 as text, and refuse other bytes.

use super::port::{UnrenderableKey, UnrenderableReason};
use crate::model::bundle::{Bundle, Entry};
use crate::model::secret::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::ops::Deref;
use zeroize::{Zeroize as _, Zeroizing};

pub(super) enum ValueBytes<'a> {
    /// The bytes of a text value.
    Text(&'a str),
    /// The decoded bytes of a binary value.
    Decoded(Zeroizing<Vec<u8>>),
}

impl Deref for ValueBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Decoded(bytes) => bytes,
        }
    }
}

/// Returns the bytes of a value. Its base64 is valid, because that is checked when the bundle is merged.
#[expect(clippy::disallowed_methods, reason = "the value is rendered")]
pub(super) fn value_bytes(entry: &Entry) -> ValueBytes<'_> {
    let text = entry.value.expose_secret();
    if entry.is_base64 { ValueBytes::Decoded(decode_base64(text)) } else { ValueBytes::Text(text) }
}

fn decode_base64(text: &str) -> Zeroizing<Vec<u8>> {
    // Allocated with its final size, because a growing vector would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
    let _ = STANDARD.decode_vec(text, &mut bytes);
    bytes
}

/// Returns a copy of the bundle with binary values decoded to text. `None` if the bundle has no binary values, so that no copy is
/// needed. Fails if a binary value is not UTF-8.
pub(super) fn decode_to_texts(bundle: &Bundle) -> Result<Option<Bundle>, UnrenderableKey> {
    if !bundle.entries.values().any(|entry| entry.is_base64) {
        return Ok(None);
    }
    let mut entries = BTreeMap::new();
    for (name, entry) in &bundle.entries {
        let value = if entry.is_base64 { decode_to_text(name, entry)? } else { entry.value.clone() };
        entries.insert(name.clone(), Entry { value, named_by_policy: entry.named_by_policy, is_base64: false });
    }
    Ok(Some(Bundle { entries, stale: bundle.stale, versions: bundle.versions.clone() }))
}

#[expect(clippy::disallowed_methods, reason = "the value is checked")]
fn decode_to_text(name: &str, entry: &Entry) -> Result<SecretValue, UnrenderableKey> {
    let mut bytes = decode_base64(entry.value.expose_secret());
    String::from_utf8(std::mem::take(&mut *bytes)).map(SecretValue::new).map_err(|error| {
        error.into_bytes().zeroize();
        UnrenderableKey { key: name.to_owned(), reason: UnrenderableReason::NotText }
    })
}
