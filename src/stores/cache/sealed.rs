//! Leases sealed in memory: AES-256-GCM under a key that this process makes and never shows. A page that is swapped out,
//! or a piece of memory that is read by accident, holds no secret, unless it has the key as well.

use super::lease_codec::{decode, encode};
use crate::model::lease::Lease;
use crate::stores::path::StorePath;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// A lease that only the [`Sealer`] can read.
pub(in crate::stores) struct Sealed {
    /// How many were sealed before it.
    number: u64,
    /// Ciphertext and tag.
    blob: Box<[u8]>,
}

impl Sealed {
    /// Its length in bytes.
    pub(in crate::stores) const fn len(&self) -> usize {
        self.blob.len()
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stores) struct NoRandomness;

/// Seals and opens the leases of one cache.
pub(in crate::stores) struct Sealer {
    key: LessSafeKey,
    /// The next nonce: the key seals nothing outside this process, so counting is enough for no nonce to come twice.
    next: AtomicU64,
}

impl Sealer {
    /// A new key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(in crate::stores) fn new() -> Result<Self, NoRandomness> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut *key).map_err(|_| NoRandomness)?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| NoRandomness)?;
        Ok(Self { key: LessSafeKey::new(key), next: AtomicU64::new(0) })
    }

    /// Seals the lease of a path; none where it is too large to be written.
    pub(in crate::stores) fn seal(&self, path: &StorePath, lease: &Lease) -> Option<Sealed> {
        let mut bytes = encode(lease, TAG_BYTES).ok()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.key.seal_in_place_append_tag(nonce(number), aad(path), &mut *bytes).ok()?;
        // What leaves is ciphertext; the buffer it was made in is overwritten when dropped.
        Some(Sealed { number, blob: bytes.as_slice().into() })
    }

    /// Opens the lease of a path; none where it was sealed for another path or by another process.
    pub(in crate::stores) fn open(&self, path: &StorePath, sealed: &Sealed) -> Option<Lease> {
        let mut bytes = Zeroizing::new(sealed.blob.to_vec());
        let plain = self.key.open_in_place(nonce(sealed.number), aad(path), &mut bytes).ok()?;
        decode(plain).ok()
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn aad(path: &StorePath) -> Aad<&[u8]> {
    Aad::from(path.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;

    fn path(text: &str) -> StorePath {
        StorePath::try_from(text).unwrap()
    }

    fn lease() -> Lease {
        let data = [("KEY".into(), Some(SecretValue::new("hunter2".into()))), ("NONE".into(), None)].into();
        Lease { data, version: Some("7".into()), stale: false }
    }

    #[test]
    fn what_is_sealed_opens_at_its_path_and_nowhere_else() {
        let (sealer, other) = (Sealer::new().unwrap(), Sealer::new().unwrap());
        let sealed = sealer.seal(&path("a"), &lease()).unwrap();
        assert_eq!(sealer.open(&path("a"), &sealed), Some(lease()));
        assert_eq!(sealer.open(&path("b"), &sealed), None);
        assert_eq!(other.open(&path("a"), &sealed), None);
        for byte in 0..sealed.len() {
            let mut blob = sealed.blob.clone();
            blob[byte] ^= 1;
            assert_eq!(sealer.open(&path("a"), &Sealed { number: sealed.number, blob }), None, "byte {byte}");
        }
    }

    #[test]
    fn neither_names_nor_values_can_be_read_in_it_and_none_is_sealed_twice_alike() {
        let sealer = Sealer::new().unwrap();
        let (one, two) = (sealer.seal(&path("a"), &lease()).unwrap(), sealer.seal(&path("a"), &lease()).unwrap());
        assert_ne!(one.blob, two.blob);
        for text in [&b"hunter2"[..], b"KEY", b"NONE"] {
            assert!(!one.blob.windows(text.len()).any(|window| window == text));
        }
    }
}
