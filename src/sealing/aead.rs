//! AES-256-GCM. Each constructor of a key fixes how its nonces are chosen, so that no nonce repeats under a key.

use super::keys::SubKey;
use super::random::{self, RandomError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Bytes of the authentication tag after the ciphertext.
pub const TAG_BYTES: usize = 16;
const COUNTER_BYTES: usize = 8;

/// A key that seals and opens messages. A sealed message is the nonce (none, a counter of 8 bytes, or 12 random bytes), the
/// ciphertext and the tag.
pub struct SealingKey {
    key: LessSafeKey,
    nonces: NonceSource,
}

enum NonceSource {
    /// Always zero. The flag is set when the key has sealed its only message.
    Fixed(AtomicBool),
    /// The number of messages that the key has sealed.
    Counter(AtomicU64),
    Random,
}

/// A plaintext that is sealed in place. Its buffer has space for the nonce and the tag, and is overwritten on drop.
pub struct Message(Zeroizing<Vec<u8>>);

/// The operating system gave no random bytes, or the key with a fixed nonce has already sealed its only message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be sealed")]
pub struct SealMessageError;

/// The message was sealed with another key or other associated data, or has been changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be opened")]
pub struct OpenMessageError;

impl SealingKey {
    /// A key that seals one message, with a fixed nonce. The root key of `key` must be random, and used for this message only.
    #[must_use]
    pub fn with_fixed_nonce(key: &SubKey) -> Self {
        Self { key: aes_256_key(key.as_bytes()), nonces: NonceSource::Fixed(AtomicBool::new(false)) }
    }

    /// A random key whose nonces are counted. It is never shared or stored, so counting in this process keeps nonces unique.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn with_counted_nonces() -> Result<Self, RandomError> {
        let mut key = Zeroizing::new([0; 32]);
        random::fill(&mut *key)?;
        Ok(Self { key: aes_256_key(&key), nonces: NonceSource::Counter(AtomicU64::new(0)) })
    }

    /// A key with random nonces of 96 bits. Several processes may share the key. NIST SP 800-38D (8.3) allows 2^32 messages.
    #[must_use]
    pub fn with_random_nonces(key: &SubKey) -> Self {
        Self { key: aes_256_key(key.as_bytes()), nonces: NonceSource::Random }
    }

    /// An empty message with space for `size` bytes. Do not append more: growing would leave plaintext in freed memory.
    #[must_use]
    pub fn message(&self, size: usize) -> Message {
        let nonce_bytes = self.nonce_bytes();
        let mut buffer = Zeroizing::new(Vec::with_capacity(nonce_bytes + size + TAG_BYTES));
        buffer.resize(nonce_bytes, 0);
        Message(buffer)
    }

    /// Seals a message from [`Self::message`] in place, and binds it to the associated data. Returns nonce, ciphertext and tag.
    ///
    /// # Errors
    /// See [`SealMessageError`].
    pub fn seal(&self, message: Message, associated_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealMessageError> {
        let mut nonce = [0; NONCE_LEN];
        match &self.nonces {
            NonceSource::Fixed(used) => {
                if used.swap(true, Ordering::Relaxed) {
                    return Err(SealMessageError);
                }
            }
            NonceSource::Counter(next) => {
                nonce[..COUNTER_BYTES].copy_from_slice(&next.fetch_add(1, Ordering::Relaxed).to_le_bytes());
            }
            NonceSource::Random => random::fill(&mut nonce).map_err(|_| SealMessageError)?,
        }
        let Message(mut buffer) = message;
        let (head, plaintext) = buffer.split_at_mut_checked(self.nonce_bytes()).ok_or(SealMessageError)?;
        head.copy_from_slice(&nonce[..head.len()]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(associated_data), plaintext)
            .map_err(|_| SealMessageError)?;
        buffer.extend(tag.as_ref());
        Ok(buffer)
    }

    /// Returns the plaintext of a sealed message.
    ///
    /// # Errors
    /// See [`OpenMessageError`].
    pub fn open(&self, sealed: &[u8], associated_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenMessageError> {
        let (head, ciphertext) = sealed.split_at_checked(self.nonce_bytes()).ok_or(OpenMessageError)?;
        let mut nonce = [0; NONCE_LEN];
        nonce[..head.len()].copy_from_slice(head);
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length =
            self.key.open_in_place(nonce, Aad::from(associated_data), &mut buffer).map_err(|_| OpenMessageError)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    const fn nonce_bytes(&self) -> usize {
        match self.nonces {
            NonceSource::Fixed(_) => 0,
            NonceSource::Counter(_) => COUNTER_BYTES,
            NonceSource::Random => NONCE_LEN,
        }
    }
}

impl Message {
    /// The buffer, for appending the plaintext.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

fn aes_256_key(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key);
    LessSafeKey::new(key.unwrap_or_else(|_| unreachable!("a key of AES-256 has 32 bytes, and this one does")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::keys::{Purpose, RootKey};

    const TEXT: &[u8] = b"hunter2";

    fn keys() -> [(SealingKey, SealingKey); 2] {
        [1, 2].map(|byte| {
            let key = RootKey::new(Zeroizing::new([byte; 32])).derive(Purpose::LeaseRecords);
            (SealingKey::with_fixed_nonce(&key), SealingKey::with_random_nonces(&key))
        })
    }

    fn sealed(key: &SealingKey) -> Result<Zeroizing<Vec<u8>>, SealMessageError> {
        let mut message = key.message(TEXT.len());
        let capacity = message.buffer().capacity();
        message.buffer().extend(TEXT);
        let sealed = key.seal(message, b"bound")?;
        assert_eq!(
            (sealed.capacity(), sealed.len()),
            (capacity, key.nonce_bytes() + TEXT.len() + TAG_BYTES),
            "the buffer must not grow"
        );
        Ok(sealed)
    }

    #[test]
    fn a_message_opens_only_unchanged_with_its_key_and_associated_data() {
        let [(once, random), (other_once, other_random)] = keys();
        let [counted, other_counted] = [(); 2].map(|()| SealingKey::with_counted_nonces().expect("random bytes"));
        for (key, other) in [(once, other_once), (random, other_random), (counted, other_counted)] {
            let sealed = sealed(&key).expect("sealed");
            assert!(!sealed.windows(3).any(|window| TEXT.starts_with(window)));
            assert_eq!(key.open(&sealed, b"bound").as_deref().map(Vec::as_slice), Ok(TEXT));
            assert_eq!(key.open(&sealed, b"bounds"), Err(OpenMessageError));
            assert_eq!(other.open(&sealed, b"bound"), Err(OpenMessageError));
            for byte in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[byte] ^= 1;
                // The last four bytes of a counted nonce are zero and not written, so each written byte counts.
                assert_eq!(key.open(&changed, b"bound"), Err(OpenMessageError), "byte {byte}");
                assert_eq!(key.open(&sealed[..byte], b"bound"), Err(OpenMessageError), "cut at {byte}");
            }
        }
    }

    #[test]
    fn nonces_do_not_repeat() {
        let [(once, random), _] = keys();
        let counted = SealingKey::with_counted_nonces().expect("random bytes");
        for key in [random, counted] {
            let (one, two) = (sealed(&key).expect("sealed"), sealed(&key).expect("sealed"));
            assert_ne!(one[..key.nonce_bytes()], two[..key.nonce_bytes()]);
            assert_ne!(one[key.nonce_bytes()..], two[key.nonce_bytes()..]);
        }
        assert!(sealed(&once).is_ok());
        assert_eq!(sealed(&once).map(drop), Err(SealMessageError), "a second message");
    }
}
