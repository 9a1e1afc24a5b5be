//! AES-256-GCM. The constructor of a key decides how its nonces are chosen, so that none is used twice.

use super::keys::SubKey;
use super::random::{self, NoRandomness};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Bytes of the tag behind a ciphertext.
pub const TAG_BYTES: usize = 16;
const COUNTER_BYTES: usize = 8;

/// A key that seals and opens messages. A sealed message is the nonce (none, a counter of 8 bytes, or 12 random bytes), the
/// ciphertext and the tag.
pub struct SealingKey {
    key: LessSafeKey,
    nonces: Nonces,
}

enum Nonces {
    /// Zero. The flag is set when the key has sealed its one message.
    Once(AtomicBool),
    /// The number of messages sealed before.
    Counted(AtomicU64),
    Random,
}

/// A message to be sealed in place. Its buffer has room for the nonce and the tag and is overwritten on drop.
pub struct Message(Zeroizing<Vec<u8>>);

/// The message cannot be sealed: the operating system gave no random bytes, or the key has sealed its one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be sealed")]
pub struct NotSealed;

/// The message was sealed under another key or other associated data, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message does not open")]
pub struct DoesNotOpen;

impl SealingKey {
    /// Seals one message, with a fixed nonce. The key must be derived from one that is random for each message.
    #[must_use]
    pub fn once(key: &SubKey) -> Self {
        Self { key: aes(key.as_bytes()), nonces: Nonces::Once(AtomicBool::new(false)) }
    }

    /// A random key of this process, with counted nonces. It is never shared or stored, so the counter alone keeps nonces
    /// unique.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn counted() -> Result<Self, NoRandomness> {
        let mut key = Zeroizing::new([0; 32]);
        random::fill(&mut *key)?;
        Ok(Self { key: aes(&key), nonces: Nonces::Counted(AtomicU64::new(0)) })
    }

    /// A key that several processes share, with random nonces of 96 bits. NIST SP 800-38D (8.3) allows 2^32 messages under it.
    #[must_use]
    pub fn random(key: &SubKey) -> Self {
        Self { key: aes(key.as_bytes()), nonces: Nonces::Random }
    }

    /// An empty message with room for `size` bytes. A message that outgrows it leaves plaintext in freed memory.
    #[must_use]
    pub fn message(&self, size: usize) -> Message {
        let nonce_bytes = self.nonce_bytes();
        let mut buffer = Zeroizing::new(Vec::with_capacity(nonce_bytes + size + TAG_BYTES));
        buffer.resize(nonce_bytes, 0);
        Message(buffer)
    }

    /// Seals a message of [`Self::message`] in its own buffer, bound to the associated data.
    ///
    /// # Errors
    /// See [`NotSealed`].
    pub fn seal(&self, message: Message, associated_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotSealed> {
        let mut nonce = [0; NONCE_LEN];
        match &self.nonces {
            Nonces::Once(used) => {
                if used.swap(true, Ordering::Relaxed) {
                    return Err(NotSealed);
                }
            }
            Nonces::Counted(next) => {
                nonce[..COUNTER_BYTES].copy_from_slice(&next.fetch_add(1, Ordering::Relaxed).to_le_bytes());
            }
            Nonces::Random => random::fill(&mut nonce).map_err(|_| NotSealed)?,
        }
        let Message(mut buffer) = message;
        let (head, text) = buffer.split_at_mut_checked(self.nonce_bytes()).ok_or(NotSealed)?;
        head.copy_from_slice(&nonce[..head.len()]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::from(associated_data), text).map_err(|_| NotSealed)?;
        buffer.extend(tag.as_ref());
        Ok(buffer)
    }

    /// Opens a sealed message.
    ///
    /// # Errors
    /// See [`DoesNotOpen`].
    pub fn open(&self, sealed: &[u8], associated_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (head, text) = sealed.split_at_checked(self.nonce_bytes()).ok_or(DoesNotOpen)?;
        let mut nonce = [0; NONCE_LEN];
        nonce[..head.len()].copy_from_slice(head);
        let mut buffer = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length =
            self.key.open_in_place(nonce, Aad::from(associated_data), &mut buffer).map_err(|_| DoesNotOpen)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    const fn nonce_bytes(&self) -> usize {
        match self.nonces {
            Nonces::Once(_) => 0,
            Nonces::Counted(_) => COUNTER_BYTES,
            Nonces::Random => NONCE_LEN,
        }
    }
}

impl Message {
    /// The buffer, to be appended to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

fn aes(key: &[u8; 32]) -> LessSafeKey {
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
            (SealingKey::once(&key), SealingKey::random(&key))
        })
    }

    fn sealed(key: &SealingKey) -> Result<Zeroizing<Vec<u8>>, NotSealed> {
        let mut message = key.message(TEXT.len());
        let capacity = message.buffer().capacity();
        message.buffer().extend(TEXT);
        let sealed = key.seal(message, b"bound")?;
        assert_eq!(
            (sealed.capacity(), sealed.len()),
            (capacity, key.nonce_bytes() + TEXT.len() + TAG_BYTES),
            "it grew"
        );
        Ok(sealed)
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_and_data_only_and_unchanged() {
        let [(once, random), (other_once, other_random)] = keys();
        let [counted, other_counted] = [(); 2].map(|()| SealingKey::counted().expect("random bytes"));
        for (key, other) in [(once, other_once), (random, other_random), (counted, other_counted)] {
            let sealed = sealed(&key).expect("sealed");
            assert!(!sealed.windows(3).any(|window| TEXT.starts_with(window)));
            assert_eq!(key.open(&sealed, b"bound").as_deref().map(Vec::as_slice), Ok(TEXT));
            assert_eq!(key.open(&sealed, b"bounds"), Err(DoesNotOpen));
            assert_eq!(other.open(&sealed, b"bound"), Err(DoesNotOpen));
            for byte in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[byte] ^= 1;
                // The last four bytes of a counted nonce are zero and not written, so each written byte counts.
                assert_eq!(key.open(&changed, b"bound"), Err(DoesNotOpen), "byte {byte}");
                assert_eq!(key.open(&sealed[..byte], b"bound"), Err(DoesNotOpen), "cut at {byte}");
            }
        }
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let [(once, random), _] = keys();
        let counted = SealingKey::counted().expect("random bytes");
        for key in [random, counted] {
            let (one, two) = (sealed(&key).expect("sealed"), sealed(&key).expect("sealed"));
            assert_ne!(one[..key.nonce_bytes()], two[..key.nonce_bytes()]);
            assert_ne!(one[key.nonce_bytes()..], two[key.nonce_bytes()..]);
        }
        assert!(sealed(&once).is_ok());
        assert_eq!(sealed(&once).map(drop), Err(NotSealed), "a second message");
    }
}
