//! The keys of the chains: the one that seals, and those that did before and still verify.
//!
//! A chain that begins under a key has a digest of it in its name, so that each event says which key it is to be held against.
//! Chains of version 0.1 name none; those are held against every key.

use aws_lc_rs::{digest, hmac};
use std::fmt;
use zeroize::Zeroizing;

/// What stands in a chain's name before the digest of its key.
const NAMES_KEY: &str = "-k";
/// Hexadecimal digits of the digest.
const DIGITS: usize = 16;
/// What a key's digest is made of, under the key itself.
const CONTEXT: &[u8] = b"claviger audit chain";

/// Hashes events, with HMAC-SHA-256 under a key from outside the database or with SHA-256, and checks hashes.
pub struct Sealer {
    current: Option<Key>,
    retired: Vec<Key>,
}

struct Key {
    key: hmac::Key,
    digest: String,
}

/// What a hash was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedWith {
    /// A key that is configured.
    Key,
    /// SHA-256 alone, which anybody can compute.
    Nothing,
}

/// Why a hash does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSealed {
    /// It is not the hash of the text.
    Altered,
    /// The chain names a key that is not configured.
    UnknownKey,
}

impl Sealer {
    /// Seals with the key, if there is one. The retired keys only verify.
    #[must_use]
    pub fn new(key: Option<&Zeroizing<[u8; 32]>>, retired: &[Zeroizing<[u8; 32]>]) -> Self {
        Self { current: key.map(Key::new), retired: retired.iter().map(Key::new).collect() }
    }

    /// Without any key.
    #[must_use]
    pub const fn plain() -> Self {
        Self { current: None, retired: Vec::new() }
    }

    /// Whether new events are sealed under a key.
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

    /// The seal of an anchor: under a retired key where there is no other, so that it is worth as much as its chain.
    pub(super) fn hash_anchor(&self, text: &str) -> String {
        self.current.as_ref().or(self.retired.first()).map_or_else(|| plain(text), |key| key.hash(text))
    }

    /// What a text of a chain was sealed with.
    ///
    /// # Errors
    /// When the hash does not hold under the key that the chain names, or under any where it names none.
    pub fn check(&self, chain: &str, text: &str, hash: &str) -> Result<SealedWith, NotSealed> {
        let mut keys = self.current.iter().chain(&self.retired);
        if let Some(named) = named_key(chain) {
            let key = keys.find(|key| key.digest == named).ok_or(NotSealed::UnknownKey)?;
            return if key.hash(text) == hash { Ok(SealedWith::Key) } else { Err(NotSealed::Altered) };
        }
        if keys.any(|key| key.hash(text) == hash) {
            Ok(SealedWith::Key)
        } else if plain(text) == hash {
            Ok(SealedWith::Nothing)
        } else {
            Err(NotSealed::Altered)
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Key {
    fn new(bytes: &Zeroizing<[u8; 32]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &**bytes);
        let digest = hex(&hmac::sign(&key, CONTEXT).as_ref()[..DIGITS / 2]);
        Self { key, digest }
    }

    fn hash(&self, text: &str) -> String {
        hex(hmac::sign(&self.key, text.as_bytes()).as_ref())
    }
}

/// The digest of the key that a chain names.
pub fn named_key(chain: &str) -> Option<&str> {
    let (_, digest) = chain.rsplit_once(NAMES_KEY)?;
    let is_digest = digest.len() == DIGITS && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_digest.then_some(digest)
}

fn plain(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }

    #[test]
    fn a_chain_is_held_against_the_key_that_it_names() {
        let first = Sealer::new(Some(&key(1)), &[]);
        let chain = first.name_chain("c");
        let hash = first.hash("text");
        assert_eq!(first.check(&chain, "text", &hash), Ok(SealedWith::Key));
        let second = Sealer::new(Some(&key(2)), &[key(3), key(1)]);
        assert_eq!(second.check(&chain, "text", &hash), Ok(SealedWith::Key));
        assert_eq!(second.check(&chain, "other", &hash), Err(NotSealed::Altered));
        assert_eq!(second.check(&chain, "text", &second.hash("text")), Err(NotSealed::Altered), "another of our keys");
        assert_eq!(second.check(&chain, "text", &plain("text")), Err(NotSealed::Altered), "no key");
        let stranger = Sealer::new(Some(&key(2)), &[]);
        assert_eq!(stranger.check(&chain, "text", &hash), Err(NotSealed::UnknownKey));
        assert_eq!(Sealer::plain().check(&chain, "text", &hash), Err(NotSealed::UnknownKey));
    }

    #[test]
    fn a_chain_that_names_no_key_is_held_against_each() {
        let old = Sealer::new(Some(&key(1)), &[]);
        let sealer = Sealer::new(Some(&key(2)), &[key(1)]);
        for chain in ["0123abcd", "0123-k", "0123-k0123456789abcdeg", "0123-k0123456789ABCDEF"] {
            assert_eq!(sealer.check(chain, "text", &old.hash("text")), Ok(SealedWith::Key), "{chain}");
            assert_eq!(sealer.check(chain, "text", &sealer.hash("text")), Ok(SealedWith::Key), "{chain}");
            assert_eq!(sealer.check(chain, "text", &plain("text")), Ok(SealedWith::Nothing), "{chain}");
            assert_eq!(sealer.check(chain, "text", &plain("x")), Err(NotSealed::Altered), "{chain}");
        }
        assert_eq!(Sealer::plain().name_chain("c"), "c");
        assert_eq!(Sealer::plain().check("c", "text", &old.hash("text")), Err(NotSealed::Altered));
    }
}
