//! The owner of tickets: a short digest of a caller's identity, for counting and locking.

use crate::model::caller::Identity;
use crate::sealing::digest::{PartsHasher, truncate};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const BYTES: usize = 16;

/// The first half of a SHA-256 of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner([u8; BYTES]);

impl Owner {
    /// The owner of this identity. Different identities have different inputs.
    pub fn of(identity: &Identity) -> Self {
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

    /// The text in database columns.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The number of the owner's advisory lock. Owners with the same number only wait for each other.
    pub fn lock(self) -> i64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.0[..8]);
        i64::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_apart_whom_the_identity_tells_apart() {
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
        let owners: std::collections::BTreeSet<_> = identities.iter().map(Owner::of).collect();
        assert_eq!(owners.len(), identities.len());
        assert_eq!(Owner::of(&identities[0]), Owner::of(&identities[0].clone()));
    }
}
