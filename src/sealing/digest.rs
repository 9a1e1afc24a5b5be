//! SHA-256, HMAC-SHA-256, digests of several parts, hexadecimal text, and comparison in constant time.

use super::codec::length_of;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};

/// A SHA-256 or HMAC-SHA-256.
pub type Digest = [u8; 32];

/// SHA-256 of the bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    array(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The first `N` bytes of a digest; `N` is at most 32.
#[must_use]
pub fn short<const N: usize>(digest: &Digest) -> [u8; N] {
    const { assert!(N <= 32) };
    array(&digest[..N])
}

/// Writes lower-case hexadecimal digits: two for each byte, into a buffer of that length.
///
/// # Panics
/// When the buffer has another length.
pub fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    hex::encode_to_slice(bytes, digits).unwrap_or_else(|_| unreachable!("the buffer has two digits for each byte"));
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    // Not `hex::encode`, which appends one character after the other.
    let mut digits = vec![0; bytes.len() * 2];
    write_hex(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_else(|_| unreachable!("hex digits are ASCII"))
}

/// Whether two byte strings are equal. The time it takes depends on their lengths only.
#[must_use]
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// A key of HMAC-SHA-256.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Takes the bytes of a key as they are. Derive them first, except for audit chains, which 0.1.0 computed without derivation.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC-SHA-256 of the bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Digest {
        array(hmac::sign(&self.0, bytes).as_ref())
    }

    /// Begins an HMAC-SHA-256 of several parts.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts(Context::Hmac(hmac::Context::with_key(&self.0)))
    }
}

/// A digest of several parts. Each is preceded by its length (eight bytes, little-endian), so that different lists of parts have
/// different inputs.
pub struct Parts(Context);

#[expect(clippy::large_enum_variant, reason = "on the stack for a moment; a box would cost an allocation")]
enum Context {
    Sha256(digest::Context),
    Hmac(hmac::Context),
}

impl Parts {
    /// Begins a SHA-256.
    #[must_use]
    pub fn sha256() -> Self {
        Self(Context::Sha256(digest::Context::new(&digest::SHA256)))
    }

    /// Adds a part.
    pub fn add(&mut self, part: &[u8]) {
        for bytes in [&length_of(part)[..], part] {
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
            Context::Sha256(context) => array(context.finish().as_ref()),
            Context::Hmac(context) => array(context.sign().as_ref()),
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        // FIPS 180-2, B.1, and RFC 4231, 4.3 with its key padded to 32 bytes, which HMAC does anyway.
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = MacKey::new(&key).sign(b"what do ya want for nothing?");
        assert_eq!(hex(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(hex(&short::<4>(&sha256(b"abc"))), "ba7816bf");
    }

    #[test]
    fn parts_are_told_apart() {
        let key = MacKey::new(&[1; 32]);
        for begin in [&Parts::sha256 as &dyn Fn() -> Parts, &|| key.parts()] {
            let digest = |parts: &[&str]| {
                let mut digest = begin();
                for part in parts {
                    digest.add(part.as_bytes());
                }
                digest.finish()
            };
            let lists: [&[&str]; 5] = [&[], &[""], &["ab"], &["a", "b"], &["", "ab"]];
            let digests: std::collections::BTreeSet<_> = lists.iter().map(|parts| digest(parts)).collect();
            assert_eq!(digests.len(), lists.len());
            assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
        }
        let mut plain = Parts::sha256();
        plain.add(b"ab");
        assert_eq!(plain.finish(), sha256(b"\x02\0\0\0\0\0\0\0ab"));
    }

    #[test]
    fn equality_is_of_all_bytes() {
        assert!(equal(b"", b"") && equal(b"ab", b"ab"));
        assert!(!equal(b"ab", b"ac") && !equal(b"ab", b"a") && !equal(b"", b"a"));
    }
}
