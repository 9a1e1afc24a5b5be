//! A short digest of a caller's identity, under which the tickets of the caller are counted and locked.

use crate::model::caller::Identity;
use crate::sealing::digest::{PartsHasher, truncate};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const DIGEST_BYTES: usize = 16;

/// The owner of tickets: the first half of a SHA-256 of the caller's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerDigest([u8; DIGEST_BYTES]);

impl OwnerDigest {
    /// Digests the identity. Different identities give the hash function different inputs.
    pub fn from_identity(identity: &Identity) -> Self {
        let mut digest = PartsHasher::sha256();
        let mut part = |text: &str| digest.add(text.as_bytes());
        match identity {
            Identity::Pod { issuer, uid } => {
                part("pod");
                part(issuer);
                part(uid);
            }
            Identity::Token { issuer, subject, jti } => {
                part("token");
                part(issuer);
                part(subject);
                if let Some(jti) = jti {
                    part(jti);
                }
            }
        }
        Self(truncate(&digest.finish()))
    }

    /// base64url without padding, as in database columns.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The key of the owner's advisory lock. If two owners have the same key by chance, they only wait for each other.
    pub fn lock_key(self) -> i64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.0[..8]);
        i64::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_identities_have_different_owners() {
        let token = |subject: &str, jti: Option<&str>| Identity::Token {
            issuer: "i".into(),
            subject: subject.into(),
            jti: jti.map(str::to_owned),
        };
        let identities = [
            Identity::Pod { issuer: "i".into(), uid: "u".into() },
            Identity::Pod { issuer: "iu".into(), uid: String::new() },
            token("u", None),
            token("u", Some("")),
            token("u", Some("j")),
            token("uj", None),
        ];
        let owners: std::collections::BTreeSet<_> = identities.iter().map(OwnerDigest::from_identity).collect();
        assert_eq!(owners.len(), identities.len());
        assert_eq!(OwnerDigest::from_identity(&identities[0]), OwnerDigest::from_identity(&identities[0].clone()));
    }
}
