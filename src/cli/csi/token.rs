//! Finds the pod's token for the provider's audience, and checks that it is bound to the pod that mounts the volume.
//!
//! The check prevents a mount with the token of another pod. The server verifies the signature.

use super::attributes::TOKENS_ATTRIBUTE;
use super::mount_error::MountError;
use crate::cli::bearer;
use crate::model::secret::SecretValue;
use crate::model::token68::is_token68;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HeaderValue;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Maximum length of a token, the same as on a server.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// One token in the attribute.
#[derive(Deserialize)]
struct IssuedToken {
    token: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<KubernetesClaims>,
}

#[derive(Deserialize)]
struct KubernetesClaims {
    pod: Option<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    uid: String,
}

/// Finds the token for the audience, in `tokens` (the attribute) or else in the secrets of the request.
pub fn find_token(tokens: Option<&SecretValue>, secrets: &str, audience: &str) -> Result<SecretValue, MountError> {
    let for_audience = |tokens: &SecretValue| {
        #[expect(clippy::disallowed_methods, reason = "the tokens are parsed")]
        let issued: Option<BTreeMap<String, IssuedToken>> = serde_json::from_str(tokens.expose_secret()).ok();
        issued?.remove(audience).map(|issued| SecretValue::new(issued.token))
    };
    let in_secrets = || {
        let secrets: Option<BTreeMap<String, String>> = serde_json::from_str(secrets).ok();
        for_audience(&SecretValue::new(secrets?.remove(TOKENS_ATTRIBUTE)?))
    };
    let token = tokens.and_then(for_audience).or_else(in_secrets);
    token.filter(|token| !token.is_empty()).ok_or_else(|| MountError::token_missing(audience))
}

/// The value of the `Authorization` header, if the token is bound to this pod.
#[expect(clippy::disallowed_methods, reason = "the token is parsed")]
pub fn authorization_header(token: &SecretValue, pod_uid: Option<&str>) -> Result<HeaderValue, MountError> {
    let claims = parse_claims(token.expose_secret()).ok_or_else(MountError::token_invalid)?;
    let pod = claims.kubernetes.and_then(|claims| claims.pod).ok_or_else(MountError::not_pod_bound)?.uid;
    match pod_uid {
        None => return Err(MountError::pod_unknown()),
        Some(uid) if uid != pod => return Err(MountError::wrong_pod()),
        Some(_) => {}
    }
    bearer::authorization_header(token).ok_or_else(MountError::token_invalid)
}

/// Parses the claims of a token without verification. `None` if the text is not a JWT.
fn parse_claims(token: &str) -> Option<Claims> {
    if token.len() > MAX_TOKEN_BYTES || !is_token68(token) {
        return None;
    }
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn tokens(audience: &str, token: &str) -> SecretValue {
        let issued = json!({(audience): {"token": token, "expirationTimestamp": "2026-01-01T00:00:00Z"}});
        SecretValue::new(issued.to_string())
    }

    #[expect(clippy::disallowed_methods, reason = "sample tokens")]
    fn found(tokens: Option<&SecretValue>, secrets: &str) -> Result<String, String> {
        let found = find_token(tokens, secrets, "claviger");
        found.map(|token| token.expose_secret().to_owned()).map_err(|error| error.text("r"))
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "sample tokens")]
    fn token_is_found_in_attributes_or_secrets() {
        let secrets = |text: &SecretValue| json!({(TOKENS_ATTRIBUTE): text.expose_secret(), "other": "x"}).to_string();
        let (one, two) = (tokens("claviger", "one"), tokens("claviger", "two"));
        let other = tokens("vault", "three");
        assert_eq!(found(Some(&one), "{}"), Ok("one".into()));
        assert_eq!(found(Some(&one), &secrets(&two)), Ok("one".into()));
        assert_eq!(found(None, &secrets(&two)), Ok("two".into()));
        assert_eq!(found(Some(&other), &secrets(&two)), Ok("two".into()));
        for (tokens, secrets) in [
            (None, ""),
            (None, "null"),
            (None, "{}"),
            (None, "[1]"),
            (Some(SecretValue::new(String::new())), "{}"),
            (Some(SecretValue::new("{\"claviger\":\"one\"}".into())), "{}"),
            (Some(tokens("claviger", "")), "{}"),
            (Some(other.clone()), &secrets(&other)),
        ] {
            let why = found(tokens.as_ref(), secrets).expect_err("no token");
            assert!(why.starts_with("token_missing: ") && why.contains("tokenRequests"), "{why}");
            assert!(why.contains("audience claviger"), "{why}");
        }
    }

    #[test]
    fn only_a_token_of_the_pod_is_sent() {
        let send = |text: String, uid: Option<&str>| {
            let header = authorization_header(&SecretValue::new(text), uid);
            header.map(|header| header.is_sensitive()).map_err(|error| error.text("r"))
        };
        let code = |result: Result<bool, String>| result.expect_err("refused").split(':').next().map(str::to_owned);
        let of_pod = token(&json!({"kubernetes.io": {"namespace": "ci", "pod": {"name": "b", "uid": "u-1"}}}));
        assert_eq!(send(of_pod.clone(), Some("u-1")), Ok(true));
        assert_eq!(code(send(of_pod.clone(), Some("u-2"))).as_deref(), Some("wrong_pod"));
        assert_eq!(code(send(of_pod.clone(), Some(""))).as_deref(), Some("wrong_pod"));
        assert_eq!(code(send(of_pod, None)).as_deref(), Some("pod_unknown"));
        for unbound in [json!({}), json!({"kubernetes.io": {"namespace": "ci"}}), json!({"sub": "x"})] {
            assert_eq!(code(send(token(&unbound), Some("u-1"))).as_deref(), Some("not_pod_bound"), "{unbound}");
        }
        for malformed in ["hunter2", "a.b.c", "", "a b", "e30.e30\n.x", "e30.bnVsbA.x", &"a".repeat(16 * 1024 + 1)] {
            assert_eq!(code(send(malformed.into(), Some("u-1"))).as_deref(), Some("token_invalid"), "{malformed}");
        }
    }
}
