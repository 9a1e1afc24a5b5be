//! The encoding of a secret for sealing. It does not contain `stale`, which is set when a secret is served.

use crate::model::secret::{Secret, SecretValue};
use crate::sealing::codec::{DecodeError, Decoder, Encoder, LengthEncoding};
use jiff::Timestamp;

/// Length of an encoded time.
const TIME_BYTES: usize = size_of::<i128>();

/// The number of bytes that [`encode`] writes.
pub(super) fn encoded_length(secret: &Secret) -> usize {
    let optional = |length: Option<usize>| 1 + length.map_or(0, |length| 4 + length);
    let values = secret.data.iter().map(|(key, value)| 4 + key.len() + optional(value.as_ref().map(SecretValue::len)));
    optional(secret.version.as_ref().map(String::len))
        + 1
        + secret.created_at.map_or(0, |_| TIME_BYTES)
        + 4
        + values.sum::<usize>()
}

pub(super) fn encode(secret: &Secret, out: &mut Vec<u8>) {
    let mut out = Encoder::new(out, LengthEncoding::U32);
    out.push_optional_text(secret.version.as_deref());
    encode_time(&mut out, secret.created_at);
    out.push_length(secret.data.len());
    for (key, value) in &secret.data {
        out.push_text(key);
        encode_value(&mut out, value.as_ref());
    }
}

/// Encodes a time in nanoseconds. Every read decodes it, and parsing the text of a time would take longer than decoding all the
/// rest.
fn encode_time(out: &mut Encoder<'_>, time: Option<Timestamp>) {
    out.push_byte(u8::from(time.is_some()));
    if let Some(time) = time {
        out.push_array(&time.as_nanosecond().to_le_bytes());
    }
}

fn decode_time(input: &mut Decoder<'_>) -> Result<Option<Timestamp>, DecodeError> {
    match input.take_byte()? {
        0 => Ok(None),
        1 => Timestamp::from_nanosecond(i128::from_le_bytes(input.take_array()?)).map(Some).map_err(|_| DecodeError),
        _ => Err(DecodeError),
    }
}

#[expect(clippy::disallowed_methods, reason = "sealing is what the value is exposed for")]
fn encode_value(out: &mut Encoder<'_>, value: Option<&SecretValue>) {
    out.push_optional_text(value.map(SecretValue::expose_secret));
}

/// Decodes a secret.
///
/// # Errors
/// The bytes are not the output of [`encode`].
pub(super) fn decode(bytes: &[u8]) -> Result<Secret, DecodeError> {
    let mut input = Decoder::new(bytes, LengthEncoding::U32);
    let version = input.take_optional_text()?.map(str::to_owned);
    let created_at = decode_time(&mut input)?;
    let mut secret = Secret { data: [].into(), version, created_at, stale: false };
    for _ in 0..input.take_length()? {
        let key = input.take_text()?.to_owned();
        secret.data.insert(key, input.take_optional_text()?.map(|text| SecretValue::new(text.to_owned())));
    }
    input.finish().map(|()| secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode_to_vec(secret: &Secret) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(secret, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn an_encoded_secret_is_decoded_again(
            version: Option<String>,
            created_at: Option<i32>,
            data in prop::collection::btree_map(any::<String>(), any::<Option<String>>(), 0..8),
        ) {
            let data = data.into_iter().map(|(key, value)| (key, value.map(SecretValue::new))).collect();
            let created_at = created_at.map(|seconds| Timestamp::from_second(i64::from(seconds)).unwrap());
            let secret = Secret { data, version, created_at, stale: false };
            let bytes = encode_to_vec(&secret);
            prop_assert_eq!(bytes.len(), encoded_length(&secret), "the buffer has the exact size");
            prop_assert_eq!(decode(&bytes), Ok(secret));
            prop_assert_eq!(decode(&[&bytes, &b"x"[..]].concat()), Err(DecodeError));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(DecodeError));
        }

        #[test]
        fn decoding_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn stale_is_not_encoded() {
        let secret = Secret { data: [].into(), version: None, created_at: None, stale: true };
        assert!(!decode(&encode_to_vec(&secret)).unwrap().stale);
    }
}
