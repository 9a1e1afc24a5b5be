//! The keyed digest of the served secret versions. Builds use the digest as a cache key, because it changes when a secret is
//! rotated.

use crate::model::secret::Secret;
use crate::model::secret_ref::SecretRef;
use crate::sealing::digest::{MacKey, PartsHasher, to_hex, truncate};
use crate::sealing::keys::{Purpose, RootKey};
use std::sync::Arc;

/// The key of the digest. Because the digest is keyed, a guessed value cannot be compared with the digest in a response.
pub struct VersionsKey(MacKey);

impl VersionsKey {
    #[must_use]
    pub fn new(database_key: &RootKey) -> Self {
        Self(MacKey::new(database_key.derive(Purpose::Versions).as_bytes()))
    }

    /// The digest of the secrets that were read. It covers their versions and, of a secret without a version, the values.
    pub(super) fn digest<'a>(&self, reads: impl Iterator<Item = (&'a SecretRef, &'a Arc<Secret>)>) -> String {
        let mut digest = self.0.parts_hasher();
        for (secret_ref, secret) in reads {
            digest.add(secret_ref.store.as_bytes());
            digest.add(secret_ref.path.as_bytes());
            match &secret.version {
                Some(version) => digest.add(version.as_bytes()),
                None => add_values(secret, &mut digest),
            }
        }
        to_hex(&truncate::<16>(&digest.finish()))
    }
}

/// 31 bits of the digest as a version number, which is at least 1. A newer version may have a lower number.
#[must_use]
pub fn version_number(digest: &str) -> u32 {
    let bits = digest.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
    (bits >> 1).max(1)
}

#[expect(clippy::disallowed_methods, reason = "the values go into a keyed digest")]
fn add_values(secret: &Secret, digest: &mut PartsHasher) {
    for (name, value) in &secret.data {
        digest.add(name.as_bytes());
        digest.add(value.as_ref().map_or(&[], |value| value.expose_secret().as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;

    fn digest(key: u8, path: &str, version: Option<&str>, value: &str) -> String {
        let secret_ref = SecretRef { store: "s".into(), path: path.into() };
        let data = [("K".to_owned(), Some(SecretValue::new(value.into())))].into();
        let secret = Arc::new(Secret { data, version: version.map(str::to_owned), created_at: None, stale: false });
        VersionsKey::new(&RootKey::new([key; 32].into())).digest(std::iter::once((&secret_ref, &secret)))
    }

    #[test]
    fn a_version_number_is_positive_and_has_31_bits() {
        for (digest, version) in
            [("00000000ff", 1), ("00000001ff", 1), ("00000004", 2), ("ffffffff", i32::MAX as u32), ("", 1)]
        {
            assert_eq!(version_number(digest), version, "{digest}");
        }
    }

    #[test]
    fn the_digest_covers_store_path_version_or_values_and_the_key() {
        let base = digest(1, "a/b", Some("1"), "x");
        assert_eq!(base, digest(1, "a/b", Some("1"), "x"));
        assert_ne!(base, digest(1, "a/b", Some("2"), "x"));
        assert_ne!(base, digest(1, "a/c", Some("1"), "x"));
        assert_ne!(base, digest(2, "a/b", Some("1"), "x"), "not keyed");
        assert_ne!(digest(1, "a/b", None, "x"), digest(1, "a/b", None, "y"));
    }
}
