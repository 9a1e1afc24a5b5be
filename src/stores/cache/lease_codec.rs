//! The encoding of a lease, which is sealed. Staleness is not kept: it is decided when a lease is served.

use crate::model::lease::Lease;
use crate::model::secret::SecretValue;
use crate::sealing::codec::{Lengths, Malformed, Reader, Writer};

/// The number of bytes that [`encode`] writes.
pub(super) fn size(lease: &Lease) -> usize {
    let optional = |length: Option<usize>| 1 + length.map_or(0, |length| 4 + length);
    let values = lease.data.iter().map(|(key, value)| 4 + key.len() + optional(value.as_ref().map(SecretValue::len)));
    optional(lease.version.as_ref().map(String::len)) + 4 + values.sum::<usize>()
}

/// Writes a lease.
pub(super) fn encode(lease: &Lease, out: &mut Vec<u8>) {
    let mut out = Writer::new(out, Lengths::Fixed);
    out.optional_text(lease.version.as_deref());
    out.length(lease.data.len());
    for (key, value) in &lease.data {
        out.text(key);
        put_value(&mut out, value.as_ref());
    }
}

#[expect(clippy::disallowed_methods, reason = "sealing is what the value is exposed for")]
fn put_value(out: &mut Writer<'_>, value: Option<&SecretValue>) {
    out.optional_text(value.map(SecretValue::expose_secret));
}

/// Reads a lease back.
///
/// # Errors
/// When the bytes are not exactly what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Result<Lease, Malformed> {
    let mut input = Reader::new(bytes, Lengths::Fixed);
    let version = input.optional_text()?.map(str::to_owned);
    let mut lease = Lease { data: [].into(), version, stale: false };
    for _ in 0..input.length()? {
        let key = input.text()?.to_owned();
        lease.data.insert(key, input.optional_text()?.map(|text| SecretValue::new(text.to_owned())));
    }
    input.end().map(|()| lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(lease: &Lease) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(lease, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(
            version: Option<String>,
            data in prop::collection::btree_map(any::<String>(), any::<Option<String>>(), 0..8),
        ) {
            let data = data.into_iter().map(|(key, value)| (key, value.map(SecretValue::new))).collect();
            let lease = Lease { data, version, stale: false };
            let bytes = encoded(&lease);
            prop_assert_eq!(bytes.len(), size(&lease), "it would grow, or have too much room");
            prop_assert_eq!(decode(&bytes), Ok(lease));
            prop_assert_eq!(decode(&[&bytes, &b"x"[..]].concat()), Err(Malformed));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(Malformed));
        }

        #[test]
        fn takes_any_bytes_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn staleness_is_not_kept() {
        let lease = Lease { data: [].into(), version: None, stale: true };
        assert!(!decode(&encoded(&lease)).unwrap().stale);
    }
}
