//! Secrets sealed in memory under a key of this process, so that swapped pages and leaked memory reveal no secret without the
//! key.

use super::secret_codec::{decode, encode, encoded_length};
use crate::model::secret::Secret;
use crate::sealing::aead::SealingKey;
use crate::sealing::random::RandomError;
use crate::stores::store_path::StorePath;

/// A secret that only its [`SecretSealer`] can open.
pub(in crate::stores) struct SealedSecret(Box<[u8]>);

impl SealedSecret {
    /// The length in bytes.
    pub(in crate::stores) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// Seals and opens secrets. A sealed secret is bound to its path.
pub(in crate::stores) struct SecretSealer(SealingKey);

impl SecretSealer {
    /// A sealer with a new key.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub(in crate::stores) fn new() -> Result<Self, RandomError> {
        SealingKey::with_counted_nonces().map(Self)
    }

    /// Seals the secret of a path.
    pub(in crate::stores) fn seal(&self, path: &StorePath, secret: &Secret) -> Option<SealedSecret> {
        let mut message = self.0.message(encoded_length(secret));
        encode(secret, message.buffer());
        let sealed = self.0.seal(message, path.as_str().as_bytes()).ok()?;
        Some(SealedSecret(sealed.as_slice().into()))
    }

    /// Opens the secret of a path. `None` if it was sealed for another path or by another process.
    pub(in crate::stores) fn open(&self, path: &StorePath, sealed: &SealedSecret) -> Option<Secret> {
        let plain = self.0.open(&sealed.0, path.as_str().as_bytes()).ok()?;
        decode(&plain).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;

    fn path(text: &str) -> StorePath {
        StorePath::try_from(text).unwrap()
    }

    fn secret() -> Secret {
        let data = [("KEY".into(), Some(SecretValue::new("hunter2".into()))), ("NONE".into(), None)].into();
        Secret { data, version: Some("7".into()), created_at: None, stale: false }
    }

    #[test]
    fn a_sealed_secret_opens_only_for_its_path() {
        let (sealer, other) = (SecretSealer::new().unwrap(), SecretSealer::new().unwrap());
        let sealed = sealer.seal(&path("a"), &secret()).unwrap();
        assert_eq!(sealer.open(&path("a"), &sealed), Some(secret()));
        assert_eq!(sealer.open(&path("b"), &sealed), None);
        assert_eq!(other.open(&path("a"), &sealed), None);
        for byte in 0..sealed.len() {
            let mut changed = sealed.0.clone();
            changed[byte] ^= 1;
            assert_eq!(sealer.open(&path("a"), &SealedSecret(changed)), None, "byte {byte}");
        }
    }

    #[test]
    fn sealed_bytes_contain_no_plain_text_and_differ_each_time() {
        let sealer = SecretSealer::new().unwrap();
        let (one, two) = (sealer.seal(&path("a"), &secret()).unwrap(), sealer.seal(&path("a"), &secret()).unwrap());
        assert_ne!(one.0, two.0);
        for text in [&b"hunter2"[..], b"KEY", b"NONE"] {
            assert!(!one.0.windows(text.len()).any(|window| window == text));
        }
    }
}
