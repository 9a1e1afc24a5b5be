//! The public keys of an OIDC issuer (RFC 7517), and the selection of the key for a token.

use super::strict_json;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;

/// Maximum size of a key set in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Maximum number of listed keys. A set with more is malformed.
const MAX_KEYS: usize = 100;

/// The supported keys of a set. Never empty.
pub struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    kind: KeyType,
    /// The only allowed algorithm, if the key set names one.
    algorithm: Option<KeyAlgorithm>,
    decoding: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyType {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a key set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeySetError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// The document is too long, is not JSON, or has no list of keys or too long a list.
    #[error("is not a JSON Web Key Set of at most 1 MiB and 100 keys")]
    Malformed,
    /// The set contains no public signature key of a supported type.
    #[error("has no usable signature key (RSA of 2048 bits or more, EC on P-256 or P-384, or Ed25519)")]
    NoUsableKey,
}

impl KeySet {
    /// Reads a file, with blocking I/O.
    pub fn read(path: &Path) -> Result<Self, KeySetError> {
        let unreadable = |error: std::io::Error| KeySetError::Unreadable(error.kind());
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
        Self::parse(&text)
    }

    /// Parses a key set.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let mut document = match strict_json::parse_object(text) {
            Some(document) if text.len() <= MAX_BYTES => document,
            _ => return Err(KeySetError::Malformed),
        };
        let listed = match document.remove("keys") {
            Some(Value::Array(listed)) if listed.len() <= MAX_KEYS => listed,
            _ => return Err(KeySetError::Malformed),
        };
        // Unsupported keys are ignored (RFC 7517, section 5): issuers add new types before all clients support them.
        let keys: Vec<Key> = listed.into_iter().filter_map(parse_key).collect();
        if keys.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(Self(keys)) }
    }

    /// The one key that fits the algorithm and, if `id` is given, has that id. `None` if no key fits, or several do.
    pub fn select(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| {
            (id.is_none() || key.id.as_deref() == id)
                && Some(key.kind) == required_key_type(algorithm)
                && key.algorithm.is_none_or(|allowed| allowed == algorithm.into())
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(&key.decoding),
            _ => None,
        }
    }

    /// Whether a key has this id, so that fetching the set again is useless. False without an id: the token may need a new key.
    pub fn contains_id(&self, id: Option<&str>) -> bool {
        id.is_some() && self.0.iter().any(|key| key.id.as_deref() == id)
    }

    /// The number of supported keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// `None` if the key is not a public signature key of a supported type.
fn parse_key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    let kind = match (&jwk.algorithm, decoding.kind()) {
        (AlgorithmParameters::RSA(_), DecodingKeyKind::RsaModulusExponent { n, .. }) if n.len() >= 256 => KeyType::Rsa,
        (AlgorithmParameters::EllipticCurve(key), DecodingKeyKind::SecretOrDer(point)) => {
            match (&key.curve, point.len()) {
                (EllipticCurve::P256, 65) => KeyType::P256,
                (EllipticCurve::P384, 97) => KeyType::P384,
                _ => return None,
            }
        }
        (AlgorithmParameters::OctetKeyPair(key), DecodingKeyKind::SecretOrDer(point))
            if key.curve == EllipticCurve::Ed25519 && point.len() == 32 =>
        {
            KeyType::Ed25519
        }
        // Includes symmetric keys: everyone who can read the set could sign with them.
        _ => return None,
    };
    Some(Key { id: jwk.common.key_id, kind, algorithm: jwk.common.key_algorithm, decoding })
}

/// The type of key that an algorithm needs. `None` for symmetric algorithms.
const fn required_key_type(algorithm: Algorithm) -> Option<KeyType> {
    match algorithm {
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => Some(KeyType::Rsa),
        Algorithm::ES256 => Some(KeyType::P256),
        Algorithm::ES384 => Some(KeyType::P384),
        Algorithm::EdDSA => Some(KeyType::Ed25519),
        _ => None,
    }
}
