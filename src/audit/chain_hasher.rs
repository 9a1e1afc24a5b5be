//! Hashes audit events and verifies their hashes, under the current key or a retired one.
//!
//! The name of a chain contains a digest of its key. The names of version 0.1.0 do not; such chains are verified under every
//! key.

use crate::sealing::digest::{self, MacKey, constant_time_eq, sha256, to_hex};
use crate::sealing::keys::{FingerprintPurpose, RootKey};
use std::fmt;

/// Separates the key digest from the rest of the name of a chain.
const KEY_DIGEST_SEPARATOR: &str = "-k";
/// Number of hexadecimal digits of the key digest.
const KEY_DIGEST_DIGITS: usize = 16;

/// Computes and verifies hashes: HMAC-SHA-256 under a key that is not in the database, or SHA-256 without a key.
pub struct ChainHasher {
    current: Option<ChainKey>,
    retired: Vec<ChainKey>,
}

struct ChainKey {
    key: MacKey,
    digest: String,
}

/// The kind of a hash that matches its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// HMAC-SHA-256 under a configured key.
    Keyed,
    /// SHA-256 without a key, which anyone can compute.
    Unkeyed,
}

/// Why a hash is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashError {
    /// The hash does not match the text.
    Altered,
    /// The chain names a key that is not configured.
    UnknownKey,
}

impl ChainHasher {
    /// New events are hashed with `key`, if there is one. Retired keys only verify.
    #[must_use]
    pub fn new(key: Option<&RootKey>, retired: &[RootKey]) -> Self {
        Self { current: key.map(ChainKey::new), retired: retired.iter().map(ChainKey::new).collect() }
    }

    /// Whether new events are hashed with a key.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.current.is_some()
    }

    /// The name of a new chain: its ID, and the digest of the current key.
    pub(super) fn chain_name(&self, id: &str) -> String {
        self.current.as_ref().map_or_else(|| id.to_owned(), |key| format!("{id}{KEY_DIGEST_SEPARATOR}{}", key.digest))
    }

    /// The hash of a text, in hexadecimal.
    #[must_use]
    pub fn hash(&self, text: &str) -> String {
        self.current.as_ref().map_or_else(|| unkeyed_hash(text), |key| key.hash(text))
    }

    /// The hash of an anchor. Without a current key the newest retired one is used, so that an anchor of a chain with a key
    /// cannot be forged without a key.
    pub(super) fn hash_anchor(&self, text: &str) -> String {
        self.current.as_ref().or(self.retired.first()).map_or_else(|| unkeyed_hash(text), |key| key.hash(text))
    }

    /// Verifies the hash of an event's text: under the key whose digest is in the name of the chain; if the name has no digest,
    /// under every key and without a key.
    ///
    /// # Errors
    /// See [`HashError`].
    pub fn verify_hash(&self, chain: &str, text: &str, hash: &str) -> Result<HashKind, HashError> {
        let mut keys = self.current.iter().chain(&self.retired);
        if let Some(digest) = key_digest_in(chain) {
            let key = keys.find(|key| key.digest == digest).ok_or(HashError::UnknownKey)?;
            return if is_equal(&key.hash(text), hash) { Ok(HashKind::Keyed) } else { Err(HashError::Altered) };
        }
        if keys.any(|key| is_equal(&key.hash(text), hash)) {
            Ok(HashKind::Keyed)
        } else if is_equal(&unkeyed_hash(text), hash) {
            Ok(HashKind::Unkeyed)
        } else {
            Err(HashError::Altered)
        }
    }
}

impl fmt::Debug for ChainHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainHasher")
    }
}

impl ChainKey {
    fn new(key: &RootKey) -> Self {
        let digest =
            to_hex(&digest::truncate::<{ KEY_DIGEST_DIGITS / 2 }>(&key.fingerprint(FingerprintPurpose::AuditChain)));
        Self { key: MacKey::new(key.as_bytes()), digest }
    }

    fn hash(&self, text: &str) -> String {
        to_hex(&self.key.sign(text.as_bytes()))
    }
}

/// The key digest in the name of a chain. `None` if the name has none.
pub fn key_digest_in(chain: &str) -> Option<&str> {
    let (_, digest) = chain.rsplit_once(KEY_DIGEST_SEPARATOR)?;
    let is_digest =
        digest.len() == KEY_DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_digest.then_some(digest)
}

fn unkeyed_hash(text: &str) -> String {
    to_hex(&sha256(text.as_bytes()))
}

fn is_equal(computed: &str, claimed: &str) -> bool {
    constant_time_eq(computed.as_bytes(), claimed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RootKey {
        RootKey::new([byte; 32].into())
    }

    #[test]
    fn a_chain_is_verified_under_the_key_that_its_name_contains() {
        let first = ChainHasher::new(Some(&key(1)), &[]);
        let chain = first.chain_name("c");
        let hash = first.hash("text");
        assert_eq!(first.verify_hash(&chain, "text", &hash), Ok(HashKind::Keyed));
        let second = ChainHasher::new(Some(&key(2)), &[key(3), key(1)]);
        assert_eq!(second.verify_hash(&chain, "text", &hash), Ok(HashKind::Keyed));
        assert_eq!(second.verify_hash(&chain, "other", &hash), Err(HashError::Altered));
        assert_eq!(
            second.verify_hash(&chain, "text", &second.hash("text")),
            Err(HashError::Altered),
            "another of our keys"
        );
        assert_eq!(second.verify_hash(&chain, "text", &unkeyed_hash("text")), Err(HashError::Altered), "no key");
        let stranger = ChainHasher::new(Some(&key(2)), &[]);
        assert_eq!(stranger.verify_hash(&chain, "text", &hash), Err(HashError::UnknownKey));
        assert_eq!(ChainHasher::new(None, &[]).verify_hash(&chain, "text", &hash), Err(HashError::UnknownKey));
    }

    #[test]
    fn a_chain_whose_name_contains_no_key_is_verified_under_every_key() {
        let old = ChainHasher::new(Some(&key(1)), &[]);
        let hasher = ChainHasher::new(Some(&key(2)), &[key(1)]);
        for chain in ["0123abcd", "0123-k", "0123-k0123456789abcdeg", "0123-k0123456789ABCDEF"] {
            assert_eq!(hasher.verify_hash(chain, "text", &old.hash("text")), Ok(HashKind::Keyed), "{chain}");
            assert_eq!(hasher.verify_hash(chain, "text", &hasher.hash("text")), Ok(HashKind::Keyed), "{chain}");
            assert_eq!(hasher.verify_hash(chain, "text", &unkeyed_hash("text")), Ok(HashKind::Unkeyed), "{chain}");
            assert_eq!(hasher.verify_hash(chain, "text", &unkeyed_hash("x")), Err(HashError::Altered), "{chain}");
        }
        assert_eq!(ChainHasher::new(None, &[]).chain_name("c"), "c");
        assert_eq!(ChainHasher::new(None, &[]).verify_hash("c", "text", &old.hash("text")), Err(HashError::Altered));
    }
}
