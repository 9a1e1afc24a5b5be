//! The token issuer of `claviger dev`, with a key that is generated at start.

use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// Lifetime of a token in seconds. A token also ends with the server, which has a new key at each start.
const TOKEN_LIFETIME: i64 = 7 * 24 * 3600;
const KEY_ID: &str = "dev";

/// An issuer with its P-256 key.
pub struct Issuer {
    /// The claim `iss` of its tokens.
    name: &'static str,
    key: EncodingKey,
    public_key: Vec<u8>,
}

/// The issuer cannot create its key or a token.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("a signing key cannot be generated")]
    Key,
    #[error("a token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl Issuer {
    /// Generates the key.
    pub fn new(name: &'static str) -> Result<Self, IssuerError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| IssuerError::Key)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).map_err(|_| IssuerError::Key)?;
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        Ok(Self { name, key, public_key: pair.public_key().as_ref().to_vec() })
    }

    /// The public key as a JWKS (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> String {
        // An uncompressed point: the byte 4, x, y (SEC 1, 2.3.3).
        let (x, y) = self.public_key[1..].split_at(32);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
        .to_string()
    }

    /// Signs a token for a subject with a role.
    pub fn sign_token(&self, subject: &str, role: &str) -> Result<String, IssuerError> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(KEY_ID.into());
        let now = SystemClock.now().as_second();
        let claims = json!({
            "iss": self.name, "aud": "claviger", "sub": subject, "role": role,
            "iat": now, "exp": now + TOKEN_LIFETIME, "jti": RequestId::random().as_str(),
        });
        Ok(encode(&header, &claims, &self.key)?)
    }
}
