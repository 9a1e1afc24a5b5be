//! Binary values, held as base64 text.
//!
//! `raw` and `tar` return the bytes, `json` the base64 text. All other formats need text: bytes that are valid
//! UTF-8 are written as text, others are refused.

use super::port::{Reason, Unrenderable};
use crate::model::bundle::{Bundle, Entry};
use crate::model::secret::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::ops::Deref;
use zeroize::{Zeroize as _, Zeroizing};

/// The bytes of a value.
pub(super) enum Bytes<'a> {
    /// The bytes of a text value.
    Text(&'a str),
    /// The decoded bytes of a binary value.
    Decoded(Zeroizing<Vec<u8>>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Decoded(bytes) => bytes,
        }
    }
}

/// The bytes of a value. Bundles contain only valid base64.
#[expect(clippy::disallowed_methods, reason = "the value is handed over")]
pub(super) fn bytes(entry: &Entry) -> Bytes<'_> {
    let text = entry.value.expose_secret();
    if entry.is_base64 { Bytes::Decoded(decoded(text)) } else { Bytes::Text(text) }
}

fn decoded(text: &str) -> Zeroizing<Vec<u8>> {
    // Allocated with its final size: a growing vector would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
    let _ = STANDARD.decode_vec(text, &mut bytes);
    bytes
}

/// The bundle with binary values decoded to text; `None` if it has no binary values.
pub(super) fn as_texts(bundle: &Bundle) -> Result<Option<Bundle>, Unrenderable> {
    if !bundle.entries.values().any(|entry| entry.is_base64) {
        return Ok(None);
    }
    let mut entries = BTreeMap::new();
    for (name, entry) in &bundle.entries {
        let value = if entry.is_base64 { text(name, entry)? } else { entry.value.clone() };
        entries.insert(name.clone(), Entry { value, named_by_policy: entry.named_by_policy, is_base64: false });
    }
    Ok(Some(Bundle { entries, stale: bundle.stale, versions: bundle.versions.clone() }))
}

#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it can be carried")]
fn text(name: &str, entry: &Entry) -> Result<SecretValue, Unrenderable> {
    let mut bytes = decoded(entry.value.expose_secret());
    String::from_utf8(std::mem::take(&mut *bytes)).map(SecretValue::new).map_err(|error| {
        error.into_bytes().zeroize();
        Unrenderable { key: name.to_owned(), reason: Reason::NotAText }
    })
}
