//! A lease as bytes and back: what is sealed. Each text is its length in four bytes, little-endian, and its bytes; where
//! there may be none, a byte says so before it. Staleness is not kept: it is decided when a lease is served.

use crate::model::lease::Lease;
use crate::model::secret::SecretValue;
use zeroize::Zeroizing;

/// The bytes do not hold a lease. They were written by us, so this is a fault of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotALease;

/// Writes a lease, with `spare` bytes of capacity behind it, so that sealing in place does not leave a copy by growing.
///
/// # Errors
/// When a text is longer than 4 GiB.
pub(super) fn encode(lease: &Lease, spare: usize) -> Result<Zeroizing<Vec<u8>>, NotALease> {
    let if_any = |length: Option<usize>| 1 + length.map_or(0, |length| 4 + length);
    let values = lease.data.iter().map(|(key, value)| 4 + key.len() + if_any(value.as_ref().map(SecretValue::len)));
    let size = if_any(lease.version.as_ref().map(String::len)) + 4 + values.sum::<usize>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + spare));
    put_text_if_any(&mut bytes, lease.version.as_deref())?;
    bytes.extend(u32::try_from(lease.data.len()).map_err(|_| NotALease)?.to_le_bytes());
    for (key, value) in &lease.data {
        put_text(&mut bytes, key)?;
        put_value(&mut bytes, value.as_ref())?;
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "sealing is what the value is exposed for")]
fn put_value(bytes: &mut Vec<u8>, value: Option<&SecretValue>) -> Result<(), NotALease> {
    put_text_if_any(bytes, value.map(SecretValue::expose_secret))
}

fn put_text_if_any(bytes: &mut Vec<u8>, text: Option<&str>) -> Result<(), NotALease> {
    bytes.push(u8::from(text.is_some()));
    text.map_or(Ok(()), |text| put_text(bytes, text))
}

fn put_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), NotALease> {
    bytes.extend(u32::try_from(text.len()).map_err(|_| NotALease)?.to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}

/// Reads a lease back.
///
/// # Errors
/// When the bytes are not exactly what [`encode`] writes.
pub(super) fn decode(mut bytes: &[u8]) -> Result<Lease, NotALease> {
    let input = &mut bytes;
    let mut lease = Lease { data: [].into(), version: take_text_if_any(input)?, stale: false };
    for _ in 0..take_length(input)? {
        let key = take_text(input)?;
        lease.data.insert(key, take_text_if_any(input)?.map(SecretValue::new));
    }
    if input.is_empty() { Ok(lease) } else { Err(NotALease) }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], NotALease> {
    let (head, tail) = input.split_at_checked(count).ok_or(NotALease)?;
    *input = tail;
    Ok(head)
}

fn take_length(input: &mut &[u8]) -> Result<usize, NotALease> {
    let mut length = [0; 4];
    length.copy_from_slice(take(input, 4)?);
    usize::try_from(u32::from_le_bytes(length)).map_err(|_| NotALease)
}

fn take_text_if_any(input: &mut &[u8]) -> Result<Option<String>, NotALease> {
    match take(input, 1)? {
        [0] => Ok(None),
        _ => take_text(input).map(Some),
    }
}

fn take_text(input: &mut &[u8]) -> Result<String, NotALease> {
    let length = take_length(input)?;
    std::str::from_utf8(take(input, length)?).map(str::to_owned).map_err(|_| NotALease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(
            version: Option<String>,
            data in prop::collection::btree_map(any::<String>(), any::<Option<String>>(), 0..8),
        ) {
            let data = data.into_iter().map(|(key, value)| (key, value.map(SecretValue::new))).collect();
            let lease = Lease { data, version, stale: false };
            let bytes = encode(&lease, 16).unwrap();
            prop_assert_eq!(bytes.capacity(), bytes.len() + 16, "it grew, or was given too much room");
            prop_assert_eq!(decode(&bytes), Ok(lease));
            prop_assert_eq!(decode(&[&bytes, &b"x"[..]].concat()), Err(NotALease));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(NotALease));
        }

        #[test]
        fn takes_any_bytes_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn staleness_is_not_kept() {
        let lease = Lease { data: [].into(), version: None, stale: true };
        assert!(!decode(&encode(&lease, 0).unwrap()).unwrap().stale);
    }
}
