//! An access token that the broker signs with a service account's key (AIP-4111, self-signed JWT). Only the e-mail address, the
//! key and its ID are read from the key file; its `token_uri` is never called.

use crate::model::secret::SecretValue;
use crate::sealing::rs256::Rs256Key;
use crate::stores::access_token::AccessToken;
use crate::stores::json_text::unescape;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::time::Duration;

/// The scope of all tokens. IAM decides what they may read.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The maximum that Google allows.
const LIFETIME: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
struct ServiceAccountKeyFile<'a> {
    r#type: String,
    client_email: String,
    private_key_id: String,
    #[serde(borrow)]
    private_key: &'a RawValue,
}

/// Signs a token for an hour from now. `None` if the text is not the key file of a service account.
#[expect(clippy::disallowed_methods, reason = "the key in it signs the token")]
pub(super) fn sign_token(text: &SecretValue, now: Timestamp) -> Option<(AccessToken, Duration)> {
    let ServiceAccountKeyFile { r#type, client_email, private_key_id, private_key } =
        serde_json::from_str(text.expose_secret()).ok()?;
    if r#type != "service_account" {
        return None;
    }
    let pem = unescape(private_key.get()).ok()?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = Rs256Key::from_pkcs8(der.secret_pkcs8_der()).ok()?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": private_key_id});
    let issued_at = now.as_second();
    let expires_at = issued_at + i64::try_from(LIFETIME.as_secs()).ok()?;
    let claims = json!({"iss": client_email, "sub": client_email, "scope": SCOPE, "iat": issued_at, "exp": expires_at});
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = key.sign(signed.as_bytes()).ok()?;
    Some((AccessToken::new(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))?, LIFETIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// A new key in PEM.
    fn key() -> String {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem()
    }

    fn file(r#type: &str, key: &str) -> SecretValue {
        let email = "claviger@acme.iam.gserviceaccount.com";
        let file = json!({
            "type": r#type, "project_id": "acme", "private_key_id": "k1", "private_key": key, "client_email": email,
            "token_uri": "https://evil.example/token", "universe_domain": "googleapis.com",
        });
        SecretValue::new(file.to_string())
    }

    #[test]
    fn a_token_is_signed_with_the_key_of_the_file() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let (token, ttl) = sign_token(&file("service_account", &key()), now).unwrap();
        let header = token.header();
        let parts: Vec<&str> = header.to_str().unwrap().strip_prefix("Bearer ").unwrap().split('.').collect();
        let part =
            |index: usize| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(parts[index]).unwrap()).unwrap();
        assert_eq!(part(0), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let claims = part(1);
        assert_eq!(claims["sub"], "claviger@acme.iam.gserviceaccount.com");
        assert_eq!(claims["scope"], SCOPE);
        assert_eq!(claims["iat"].as_i64(), Some(now.as_second()));
        assert_eq!(claims["exp"].as_i64(), Some(now.as_second() + 3600));
        assert_eq!((parts.len(), ttl), (3, LIFETIME));
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 256);
    }

    #[test]
    fn other_files_are_refused() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let key = key();
        for text in [
            file("external_account", &key),
            file("service_account", "hunter2"),
            file("service_account", &key.replace("PRIVATE", "PUBLIC")),
            SecretValue::new(String::new()),
            SecretValue::new("{}".into()),
            SecretValue::new("[]".into()),
        ] {
            assert!(sign_token(&text, now).is_none());
        }
    }
}
