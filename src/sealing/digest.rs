//! SHA-256, HMAC-SHA-256, digests of several parts, hexadecimal text, and constant-time comparison.

use super::codec::length_prefix;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};

/// The output of SHA-256 or HMAC-SHA-256.
pub type Digest = [u8; 32];

/// SHA-256 of the bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    to_array(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The first `N` bytes of a digest; `N` is at most 32.
#[must_use]
pub fn truncate<const N: usize>(digest: &Digest) -> [u8; N] {
    const { assert!(N <= 32) };
    to_array(&digest[..N])
}

/// Writes two lower-case hexadecimal digits for each byte.
///
/// # Panics
/// When `digits` is not twice as long as `bytes`.
pub fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    hex::encode_to_slice(bytes, digits).unwrap_or_else(|_| unreachable!("the buffer has two digits for each byte"));
}

/// The bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    // `hex::encode` is slower: it appends one character at a time.
    let mut digits = vec![0; bytes.len() * 2];
    write_hex(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_else(|_| unreachable!("hex digits are ASCII"))
}

/// Whether two byte strings are equal. The time it takes depends on their lengths only.
#[must_use]
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    verify_slices_are_equal(left, right).is_ok()
}

/// An HMAC-SHA-256 key.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Uses the bytes as the key. They must be those of a derived key, except for audit chains: version 0.1.0 used their root key
    /// directly.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC-SHA-256 of the bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Digest {
        to_array(hmac::sign(&self.0, bytes).as_ref())
    }

    /// A hasher for the HMAC-SHA-256 of several parts.
    #[must_use]
    pub fn parts_hasher(&self) -> PartsHasher {
        PartsHasher(Context::Hmac(hmac::Context::with_key(&self.0)))
    }
}

/// Computes a digest of several parts. The length of each part (eight bytes, little-endian) is hashed before it, so different lists
/// of parts have different digests.
pub struct PartsHasher(Context);

#[expect(clippy::large_enum_variant, reason = "on the stack for a moment; a box would cost an allocation")]
enum Context {
    Sha256(digest::Context),
    Hmac(hmac::Context),
}

impl PartsHasher {
    /// A hasher for the SHA-256 of several parts.
    #[must_use]
    pub fn sha256() -> Self {
        Self(Context::Sha256(digest::Context::new(&digest::SHA256)))
    }

    /// Adds a part.
    pub fn add(&mut self, part: &[u8]) {
        for bytes in [&length_prefix(part)[..], part] {
            match &mut self.0 {
                Context::Sha256(context) => context.update(bytes),
                Context::Hmac(context) => context.update(bytes),
            }
        }
    }

    /// The digest of all parts.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            Context::Sha256(context) => to_array(context.finish().as_ref()),
            Context::Hmac(context) => to_array(context.sign().as_ref()),
        }
    }
}

fn to_array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_test_vectors_of_the_standards() {
        // FIPS 180-2, B.1, and RFC 4231, 4.3 with its key padded to 32 bytes, which HMAC does anyway.
        assert_eq!(to_hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = MacKey::new(&key).sign(b"what do ya want for nothing?");
        assert_eq!(to_hex(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(to_hex(&truncate::<4>(&sha256(b"abc"))), "ba7816bf");
    }

    #[test]
    fn different_lists_of_parts_have_different_digests() {
        let key = MacKey::new(&[1; 32]);
        for new_hasher in [&PartsHasher::sha256 as &dyn Fn() -> PartsHasher, &|| key.parts_hasher()] {
            let digest = |parts: &[&str]| {
                let mut hasher = new_hasher();
                for part in parts {
                    hasher.add(part.as_bytes());
                }
                hasher.finish()
            };
            let lists: [&[&str]; 5] = [&[], &[""], &["ab"], &["a", "b"], &["", "ab"]];
            let digests: std::collections::BTreeSet<_> = lists.iter().map(|parts| digest(parts)).collect();
            assert_eq!(digests.len(), lists.len());
            assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
        }
        let mut hasher = PartsHasher::sha256();
        hasher.add(b"ab");
        assert_eq!(hasher.finish(), sha256(b"\x02\0\0\0\0\0\0\0ab"));
    }

    #[test]
    fn constant_time_eq_compares_all_bytes() {
        assert!(constant_time_eq(b"", b"") && constant_time_eq(b"ab", b"ab"));
        assert!(!constant_time_eq(b"ab", b"ac") && !constant_time_eq(b"ab", b"a") && !constant_time_eq(b"", b"a"));
    }
}
