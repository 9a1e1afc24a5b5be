//! The keys of the chains: the current one, and retired ones that only verify.
//!
//! The name of a chain contains a digest of its key. Chains of version 0.1.0 have none, and are verified under every key.

use crate::sealing::digest::{self, MacKey, constant_time_eq, sha256, to_hex};
use crate::sealing::keys::{FingerprintPurpose, RootKey};
use std::fmt;

/// The separator before the key digest in the name of a chain.
const NAMES_KEY: &str = "-k";
/// Hexadecimal digits of the digest.
const DIGITS: usize = 16;

/// Computes and verifies the hashes of events: HMAC-SHA-256 under a key from outside the database, or SHA-256 without one.
pub struct ChainHasher {
    current: Option<Key>,
    retired: Vec<Key>,
}

struct Key {
    key: MacKey,
    digest: String,
}

/// What a hash was computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashedWith {
    /// A configured key.
    Key,
    /// SHA-256 without a key, which anyone can compute.
    Nothing,
}

/// Why a hash is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotVerified {
    /// The hash is not that of the text.
    Altered,
    /// The chain names a key that is not configured.
    UnknownKey,
}

impl ChainHasher {
    /// Hashes with the key, if there is one. Retired keys only verify.
    #[must_use]
    pub fn new(key: Option<&RootKey>, retired: &[RootKey]) -> Self {
        Self { current: key.map(Key::new), retired: retired.iter().map(Key::new).collect() }
    }

    /// Without any key.
    #[must_use]
    pub const fn plain() -> Self {
        Self { current: None, retired: Vec::new() }
    }

    /// Whether new events are hashed with a key.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.current.is_some()
    }

    /// The name of a new chain.
    pub(super) fn name_chain(&self, id: &str) -> String {
        self.current.as_ref().map_or_else(|| id.to_owned(), |key| format!("{id}{NAMES_KEY}{}", key.digest))
    }

    /// The hash of a text, in hexadecimal.
    #[must_use]
    pub fn hash(&self, text: &str) -> String {
        self.current.as_ref().map_or_else(|| plain(text), |key| key.hash(text))
    }

    /// The hash of an anchor. Without a current key a retired one is used, so that it is worth as much as its chain.
    pub(super) fn hash_anchor(&self, text: &str) -> String {
        self.current.as_ref().or(self.retired.first()).map_or_else(|| plain(text), |key| key.hash(text))
    }

    /// Verifies the hash of a text of a chain.
    ///
    /// # Errors
    /// When the hash is not verified under the key that the chain names, or under any if it names none.
    pub fn check(&self, chain: &str, text: &str, hash: &str) -> Result<HashedWith, NotVerified> {
        let mut keys = self.current.iter().chain(&self.retired);
        if let Some(named) = named_key(chain) {
            let key = keys.find(|key| key.digest == named).ok_or(NotVerified::UnknownKey)?;
            return if matches(&key.hash(text), hash) { Ok(HashedWith::Key) } else { Err(NotVerified::Altered) };
        }
        if keys.any(|key| matches(&key.hash(text), hash)) {
            Ok(HashedWith::Key)
        } else if matches(&plain(text), hash) {
            Ok(HashedWith::Nothing)
        } else {
            Err(NotVerified::Altered)
        }
    }
}

impl fmt::Debug for ChainHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainHasher")
    }
}

impl Key {
    fn new(key: &RootKey) -> Self {
        let digest = to_hex(&digest::truncate::<{ DIGITS / 2 }>(&key.fingerprint(FingerprintPurpose::AuditChain)));
        Self { key: MacKey::new(key.as_bytes()), digest }
    }

    fn hash(&self, text: &str) -> String {
        to_hex(&self.key.sign(text.as_bytes()))
    }
}

/// The digest of the key that a chain names.
pub fn named_key(chain: &str) -> Option<&str> {
    let (_, digest) = chain.rsplit_once(NAMES_KEY)?;
    let is_digest = digest.len() == DIGITS && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_digest.then_some(digest)
}

fn plain(text: &str) -> String {
    to_hex(&sha256(text.as_bytes()))
}

fn matches(computed: &str, claimed: &str) -> bool {
    constant_time_eq(computed.as_bytes(), claimed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RootKey {
        RootKey::new([byte; 32].into())
    }

    #[test]
    fn a_chain_is_held_against_the_key_that_it_names() {
        let first = ChainHasher::new(Some(&key(1)), &[]);
        let chain = first.name_chain("c");
        let hash = first.hash("text");
        assert_eq!(first.check(&chain, "text", &hash), Ok(HashedWith::Key));
        let second = ChainHasher::new(Some(&key(2)), &[key(3), key(1)]);
        assert_eq!(second.check(&chain, "text", &hash), Ok(HashedWith::Key));
        assert_eq!(second.check(&chain, "other", &hash), Err(NotVerified::Altered));
        assert_eq!(
            second.check(&chain, "text", &second.hash("text")),
            Err(NotVerified::Altered),
            "another of our keys"
        );
        assert_eq!(second.check(&chain, "text", &plain("text")), Err(NotVerified::Altered), "no key");
        let stranger = ChainHasher::new(Some(&key(2)), &[]);
        assert_eq!(stranger.check(&chain, "text", &hash), Err(NotVerified::UnknownKey));
        assert_eq!(ChainHasher::plain().check(&chain, "text", &hash), Err(NotVerified::UnknownKey));
    }

    #[test]
    fn a_chain_that_names_no_key_is_held_against_each() {
        let old = ChainHasher::new(Some(&key(1)), &[]);
        let hasher = ChainHasher::new(Some(&key(2)), &[key(1)]);
        for chain in ["0123abcd", "0123-k", "0123-k0123456789abcdeg", "0123-k0123456789ABCDEF"] {
            assert_eq!(hasher.check(chain, "text", &old.hash("text")), Ok(HashedWith::Key), "{chain}");
            assert_eq!(hasher.check(chain, "text", &hasher.hash("text")), Ok(HashedWith::Key), "{chain}");
            assert_eq!(hasher.check(chain, "text", &plain("text")), Ok(HashedWith::Nothing), "{chain}");
            assert_eq!(hasher.check(chain, "text", &plain("x")), Err(NotVerified::Altered), "{chain}");
        }
        assert_eq!(ChainHasher::plain().name_chain("c"), "c");
        assert_eq!(ChainHasher::plain().check("c", "text", &old.hash("text")), Err(NotVerified::Altered));
    }
}
