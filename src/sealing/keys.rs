//! Root keys, and the keys that are derived from them.

use super::digest::{Digest, MacKey};
use super::random::{self, RandomError};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

/// Bytes of every key.
pub const KEY_BYTES: usize = 32;

/// A key from which other keys are derived: the key of a ticket, of the database or of the audit chain.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; KEY_BYTES]>);

/// A derived key. It is used for one [`Purpose`].
pub struct SubKey(Zeroizing<[u8; KEY_BYTES]>);

/// The purposes of derived keys. HKDF-SHA-256 (RFC 5869) derives a key from its root; [`Purpose::labels`] has the salt and info.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Seals the bundle of a ticket. Root: the ticket's key.
    TicketSeal,
    /// Proves the ticket's key without decryption. Root: the ticket's key.
    TicketVerifier,
    /// Computes the code in the ids of tickets. Root: the database key.
    TicketIds,
    /// Seals lease records. Root: the database key.
    LeaseRecords,
    /// Computes the ids of cached secrets. Root: the database key.
    SecretIds,
    /// Computes the digest of secret versions. Root: the database key.
    Versions,
}

impl Purpose {
    /// Salt and info. After a change of a label, existing messages and codes of this purpose can no longer be opened or verified.
    const fn labels(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::TicketSeal => (b"claviger ticket v1", b"seal"),
            Self::TicketVerifier => (b"claviger ticket v1", b"verify"),
            Self::TicketIds => (b"claviger ticket ids v2", b"code"),
            Self::LeaseRecords => (b"claviger lease records v1", b"seal"),
            Self::SecretIds => (b"claviger secret ids v2", b"id"),
            Self::Versions => (b"claviger versions v2", b"digest"),
        }
    }
}

/// The purposes of fingerprints, which identify a root key in public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FingerprintPurpose {
    /// Identifies the database key in the associated data of tickets.
    TicketEpoch,
    /// Identifies the audit chain key in the names of chains.
    AuditChain,
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl RootKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    /// A random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn random() -> Result<Self, RandomError> {
        let mut key = Self(Zeroizing::new([0; KEY_BYTES]));
        random::fill(&mut *key.0)?;
        Ok(key)
    }

    /// The bytes, for the download URL or a key file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Derives the key for a purpose.
    #[must_use]
    pub fn derive(&self, purpose: Purpose) -> SubKey {
        let (salt, info) = purpose.labels();
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Salt::new(HKDF_SHA256, salt)
            .extract(&*self.0)
            .expand(&[info], KeyLength)
            .and_then(|material| material.fill(&mut *key))
            .unwrap_or_else(|_| unreachable!("HKDF-SHA-256 yields up to 8,160 bytes, and this asks for 32"));
        SubKey(key)
    }

    /// An HMAC-SHA-256 of a fixed text under this key. It reveals nothing about the key.
    #[must_use]
    pub fn fingerprint(&self, purpose: FingerprintPurpose) -> Digest {
        MacKey::new(&self.0).sign(match purpose {
            FingerprintPurpose::TicketEpoch => b"claviger ticket epoch v1",
            FingerprintPurpose::AuditChain => b"claviger audit chain",
        })
    }
}

impl SubKey {
    /// The bytes. Only those of [`Purpose::TicketVerifier`] are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::digest::to_hex;

    fn key(byte: u8) -> RootKey {
        RootKey::new(Zeroizing::new([byte; KEY_BYTES]))
    }

    #[test]
    fn each_purpose_and_each_root_has_a_different_key() {
        let mut seen = std::collections::BTreeSet::new();
        let mut count = 0;
        for root in [key(1), key(2)] {
            for purpose in [
                Purpose::TicketSeal,
                Purpose::TicketVerifier,
                Purpose::TicketIds,
                Purpose::LeaseRecords,
                Purpose::SecretIds,
                Purpose::Versions,
            ] {
                seen.insert(*root.derive(purpose).as_bytes());
                count += 1;
            }
            for purpose in [FingerprintPurpose::TicketEpoch, FingerprintPurpose::AuditChain] {
                seen.insert(root.fingerprint(purpose));
                count += 1;
            }
        }
        assert_eq!(seen.len(), count);
        assert_eq!(key(1).derive(Purpose::Versions).as_bytes(), key(1).derive(Purpose::Versions).as_bytes());
    }

    #[test]
    fn keys_and_fingerprints_are_those_of_0_1_0() {
        for (purpose, text) in [
            (Purpose::TicketSeal, "4935ee16866a38731d44073de9321443a85b5383bffcacf6faea6f5075b963cc"),
            (Purpose::TicketVerifier, "ac7b1bd8de310d31183f2076776dc98dae4909b199419e08c13c68ebcaf70843"),
            (Purpose::LeaseRecords, "9edfe14ddf3e9e822212783c703509726c4dc8f54ce8b395c5957b95c3af51b9"),
        ] {
            assert_eq!(to_hex(key(7).derive(purpose).as_bytes()), text, "{purpose:?}");
        }
        assert_eq!(
            to_hex(&key(7).fingerprint(FingerprintPurpose::TicketEpoch)),
            "347d4120a5c2f21e9c626209d18587141aa852537ecddbf2b2fb1f303eb11c26"
        );
        assert_eq!(
            to_hex(&key(7).fingerprint(FingerprintPurpose::AuditChain)),
            "13424b1940c0d118d0c43638de90398a9d3077299110d8d5aa728179c51165d8"
        );
    }
}
