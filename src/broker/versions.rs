//! The keyed digest of the secret versions served: what a build passes on so that a rotation busts its cache.

use crate::model::lease::Lease;
use crate::model::secret_ref::SecretRef;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use std::fmt::Write as _;
use std::sync::Arc;

/// The key of the digest. Keyed, so that nobody can guess a secret by its digest.
pub struct VersionsKey(Key);

impl VersionsKey {
    /// From the database's key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// The digest of what was read: the version where the store counts them, else the values themselves.
    pub(super) fn digest<'a>(&self, reads: impl Iterator<Item = (&'a SecretRef, &'a Arc<Lease>)>) -> String {
        let mut digest = Context::with_key(&self.0);
        let mut part = |bytes: &[u8]| {
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        part(b"claviger versions v1");
        for (secret, lease) in reads {
            part(secret.store.as_bytes());
            part(secret.path.as_bytes());
            match &lease.version {
                Some(version) => part(version.as_bytes()),
                None => values(lease, &mut part),
            }
        }
        digest.sign().as_ref()[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a keyed digest of the value, where there is no version")]
fn values(lease: &Lease, part: &mut impl FnMut(&[u8])) {
    for (name, value) in &lease.data {
        part(name.as_bytes());
        part(value.as_ref().map_or(&[], |value| value.expose_secret().as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;

    fn digest(key: u8, path: &str, version: Option<&str>, value: &str) -> String {
        let secret = SecretRef { store: "s".into(), path: path.into() };
        let data = [("K".to_owned(), Some(SecretValue::new(value.into())))].into();
        let lease = Arc::new(Lease { data, version: version.map(str::to_owned), stale: false });
        VersionsKey::new(&[key; 32]).digest(std::iter::once((&secret, &lease)))
    }

    #[test]
    fn changes_with_the_version_and_with_nothing_less() {
        let base = digest(1, "a/b", Some("1"), "x");
        assert_eq!(base, digest(1, "a/b", Some("1"), "x"));
        assert_ne!(base, digest(1, "a/b", Some("2"), "x"));
        assert_ne!(base, digest(1, "a/c", Some("1"), "x"));
        assert_ne!(base, digest(2, "a/b", Some("1"), "x"), "not keyed");
        assert_ne!(digest(1, "a/b", None, "x"), digest(1, "a/b", None, "y"));
    }
}
