//! Values that are bytes, kept as base64 text.
//!
//! `raw` and `tar` hand over the bytes, `json` the base64 text. Every other format is made of texts: bytes that are one are
//! handed over as that, and others are refused.

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
    /// Those of a text.
    Text(&'a str),
    /// Decoded ones.
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

/// The bytes of a value. What is no base64 was never put into a bundle.
#[expect(clippy::disallowed_methods, reason = "the value is handed over")]
pub(super) fn bytes(entry: &Entry) -> Bytes<'_> {
    let text = entry.value.expose_secret();
    if entry.is_base64 { Bytes::Decoded(decoded(text)) } else { Bytes::Text(text) }
}

fn decoded(text: &str) -> Zeroizing<Vec<u8>> {
    // Room for all of it: a vector that grows leaves its old contents behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
    let _ = STANDARD.decode_vec(text, &mut bytes);
    bytes
}

/// The bundle with texts in the place of bytes; none where it has no bytes.
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
