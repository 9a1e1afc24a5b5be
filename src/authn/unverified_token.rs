//! A parsed token whose signature is not verified. Its claims are used to refuse it early and to select the authenticator.

use super::error::TokenRefusal;
use super::strict_json;
use crate::cluster::token_review::PodName;
use crate::model::secret::SecretValue;
use crate::sealing::digest::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Maximum length of a token. A longer one is malformed.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Tolerated clock skew.
const LEEWAY_SECONDS: i64 = 60;
/// The supported signature algorithms. `none` and the symmetric ones must not be among them: with a symmetric algorithm, a forger
/// could use the public key as the secret.
const ASYMMETRIC_ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// The SHA-256 of a token or of a part of it, for places where the token itself must not be kept.
pub type Fingerprint = [u8; 32];

/// A bearer token with its fingerprint, so that it is hashed only once.
#[derive(Clone, Copy)]
pub struct BearerToken<'a> {
    secret: &'a SecretValue,
    fingerprint: Fingerprint,
}

impl<'a> BearerToken<'a> {
    /// Hashes the token.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the token goes into a hash")]
    pub fn new(secret: &'a SecretValue) -> Self {
        Self { secret, fingerprint: sha256(secret.expose_secret().as_bytes()) }
    }

    pub(super) const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// A JWT (RFC 7519) in compact form whose signature is not verified.
pub struct UnverifiedToken<'a> {
    token: BearerToken<'a>,
    /// The signed part: the encoded header and claims.
    message: &'a str,
    /// The encoded signature.
    signature: &'a str,
    algorithm: String,
    key_id: Option<String>,
    claims: Map<String, Value>,
    expires_at: i64,
}

impl<'a> UnverifiedToken<'a> {
    /// Parses a token.
    ///
    /// # Errors
    /// [`TokenRefusal::Malformed`] if the token is not a supported JWT with an `exp`.
    pub(super) fn parse(token: BearerToken<'a>) -> Result<Self, TokenRefusal> {
        Self::try_parse(token).ok_or(TokenRefusal::Malformed)
    }

    #[expect(clippy::disallowed_methods, reason = "the token is split into its parts")]
    fn try_parse(token: BearerToken<'a>) -> Option<Self> {
        let text = token.secret.expose_secret();
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if URL_SAFE_NO_PAD.decode(signature).ok()?.is_empty() {
            return None;
        }
        let mut header = strict_json::parse_object(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        let algorithm = match header.remove("alg")? {
            Value::String(name) if ASYMMETRIC_ALGORITHMS.contains(&name.as_str()) => name,
            _ => return None,
        };
        let key_id = match header.remove("kid") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return None,
        };
        // A token must be refused if an extension in `crit` is not supported (RFC 7515, section 4.1.11). No extension is supported.
        if header.contains_key("crit") {
            return None;
        }
        let claims = strict_json::parse_object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
        let expires_at = numeric_date(claims.get("exp")?)?;
        Some(Self { token, message, signature, algorithm, key_id, claims, expires_at })
    }

    /// Checks `aud`, `exp` and `nbf`, but not the signature.
    ///
    /// # Errors
    /// [`TokenRefusal::WrongAudience`], [`TokenRefusal::Expired`], or [`TokenRefusal::Malformed`] for an `nbf`
    /// that is not a number.
    pub(super) fn check_audience_and_times(
        &self,
        is_audience: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<(), TokenRefusal> {
        let is_accepted = match self.claims.get("aud") {
            Some(Value::String(audience)) => is_audience(audience),
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).any(is_audience),
            _ => false,
        };
        if !is_accepted {
            return Err(TokenRefusal::WrongAudience);
        }
        let now = now.as_second();
        if now >= self.expires_at.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenRefusal::Expired);
        }
        if let Some(not_before) = self.claims.get("nbf") {
            let not_before = numeric_date(not_before).ok_or(TokenRefusal::Malformed)?;
            if now.saturating_add(LEEWAY_SECONDS) < not_before {
                return Err(TokenRefusal::Expired);
            }
        }
        Ok(())
    }

    pub(super) fn bearer(&self) -> &'a SecretValue {
        self.token.secret
    }

    pub(super) const fn fingerprint(&self) -> &Fingerprint {
        self.token.fingerprint()
    }

    /// The signed part: the encoded header and claims.
    pub(super) fn message(&self) -> &'a str {
        self.message
    }

    /// The encoded signature.
    pub(super) fn signature(&self) -> &'a str {
        self.signature
    }

    /// `alg` of the header; always asymmetric.
    pub(super) fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// `kid` of the header.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The SHA-256 of header and claims, without the signature.
    pub(super) fn claims_fingerprint(&self) -> Fingerprint {
        sha256(self.message.as_bytes())
    }

    pub(super) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// A claim that is a string. `None` if it is absent or of another type.
    pub(super) fn string_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// The pod that a ServiceAccount token claims to be bound to; not verified. `None` if there is no such claim.
    pub(super) fn claimed_pod(&self) -> Option<PodName> {
        let bound = self.claims.get("kubernetes.io")?;
        let namespace = bound.get("namespace")?.as_str()?.to_owned();
        let name = bound.get("pod")?.get("name")?.as_str()?.to_owned();
        Some(PodName { namespace, name })
    }

    /// `exp`, in seconds since 1970. Leeway is not added.
    pub(super) fn expires_at(&self) -> i64 {
        self.expires_at
    }
}

/// A `NumericDate` (RFC 7519, section 2): seconds since 1970, rounded towards zero. `None` if it is not a number.
#[expect(clippy::cast_possible_truncation, reason = "casting a float saturates, and a fraction of a second is cut off")]
pub(super) fn numeric_date(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn encode(text: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.{}", encode(header), encode(claims), encode("signature"))
    }

    fn claims(changes: &[(&str, Value)]) -> String {
        let mut claims = json!({"iss": "i", "aud": ["other", "claviger"], "exp": NOW + 600, "nbf": NOW});
        for (name, value) in changes {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(*name)),
                value => claims[*name] = value.clone(),
            }
        }
        claims.to_string()
    }

    fn check(text: &str) -> Result<(), TokenRefusal> {
        let bearer = SecretValue::new(text.to_owned());
        UnverifiedToken::parse(BearerToken::new(&bearer))?
            .check_audience_and_times(|audience| audience == "claviger", Timestamp::from_second(NOW).unwrap())
    }

    fn check_claims(changes: &[(&str, Value)]) -> Result<(), TokenRefusal> {
        check(&token(r#"{"alg":"RS256","kid":"k"}"#, &claims(changes)))
    }

    #[test]
    fn a_token_is_split_into_its_parts() {
        let text = token(r#"{"alg":"ES256","kid":"k"}"#, &claims(&[]));
        let bearer = SecretValue::new(text.clone());
        let token = UnverifiedToken::parse(BearerToken::new(&bearer)).expect("a token");
        assert_eq!((token.algorithm(), token.key_id(), token.string_claim("iss")), ("ES256", Some("k"), Some("i")));
        assert_eq!(format!("{}.{}", token.message(), token.signature()), text);
        assert_eq!(token.expires_at(), NOW + 600);
        assert_eq!(token.string_claim("exp"), None, "not a string");
        assert_eq!(check(&text), Ok(()));
    }

    #[test]
    fn hostile_texts_are_malformed() {
        let good = token(r#"{"alg":"RS256"}"#, &claims(&[]));
        assert_eq!(check(&good), Ok(()));
        let parts: Vec<&str> = good.split('.').collect();
        for text in [
            String::new(),
            ".".into(),
            "..".into(),
            "garbage".into(),
            parts[..2].join("."),
            format!("{good}."),
            format!("{good}.{}", parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!(".{}.{}", parts[1], parts[2]),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}="),
            good.replacen('.', "%2E", 1),
            format!("{}.{}+.{}", parts[0], parts[1], parts[2]),
            format!("{}.{}.{}", encode("not JSON"), parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], encode("not JSON"), parts[2]),
            format!("{}.{}.{}", parts[0], encode("[]"), parts[2]),
            format!("{}.{}.{}", encode("[]"), parts[1], parts[2]),
            format!("{}.{}.é", parts[0], parts[1]),
            token(r#"{"alg":"RS256"}"#, &format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000))),
        ] {
            assert_eq!(check(&text), Err(TokenRefusal::Malformed), "{text:.80}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let padded = |fill: usize| token(r#"{"alg":"RS256"}"#, &claims(&[("x", "x".repeat(fill).into())]));
        let largest = (0..MAX_TOKEN_BYTES).rev().find(|fill| padded(*fill).len() <= MAX_TOKEN_BYTES).unwrap();
        assert_eq!(check(&padded(largest)), Ok(()));
        assert_eq!(check(&padded(largest + 2)), Err(TokenRefusal::Malformed));
        assert_eq!(check(&padded(64 << 10)), Err(TokenRefusal::Malformed));
    }

    #[test]
    fn hostile_headers_are_malformed() {
        let claims = claims(&[]);
        for name in ASYMMETRIC_ALGORITHMS {
            assert_eq!(check(&token(&json!({"alg": name}).to_string(), &claims)), Ok(()), "{name}");
        }
        for header in [
            "{}",
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"rs256"}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
        ] {
            assert_eq!(check(&token(header, &claims)), Err(TokenRefusal::Malformed), "{header}");
        }
    }

    #[test]
    fn the_audience_must_be_ours() {
        assert_eq!(check_claims(&[("aud", "claviger".into())]), Ok(()));
        for aud in [
            Value::Null,
            "".into(),
            "Claviger".into(),
            "claviger ".into(),
            "https://kubernetes.default.svc".into(),
            json!([]),
            json!(["other"]),
            json!([["claviger"]]),
            json!({"claviger": true}),
            json!(1),
        ] {
            assert_eq!(check_claims(&[("aud", aud.clone())]), Err(TokenRefusal::WrongAudience), "{aud}");
        }
    }

    #[test]
    fn time_is_checked_with_a_minute_of_leeway() {
        for (exp, expected) in [
            (json!(NOW - 59), Ok(())),
            (json!(NOW - 60), Err(TokenRefusal::Expired)),
            (json!(f64::from(i32::MAX)), Ok(())),
            (json!(u64::MAX), Ok(())),
            (json!(1e300), Ok(())),
            (json!(0), Err(TokenRefusal::Expired)),
            (json!(i64::MIN), Err(TokenRefusal::Expired)),
            (json!(-1e300), Err(TokenRefusal::Expired)),
            (json!("1900000000"), Err(TokenRefusal::Malformed)),
            (json!([NOW + 600]), Err(TokenRefusal::Malformed)),
            (Value::Null, Err(TokenRefusal::Malformed)),
        ] {
            assert_eq!(check_claims(&[("exp", exp.clone())]), expected, "{exp}");
        }
        for (nbf, expected) in [
            (Value::Null, Ok(())),
            (json!(NOW + 60), Ok(())),
            (json!(NOW + 61), Err(TokenRefusal::Expired)),
            (json!(u64::MAX), Err(TokenRefusal::Expired)),
            (json!("0"), Err(TokenRefusal::Malformed)),
        ] {
            assert_eq!(check_claims(&[("nbf", nbf.clone())]), expected, "{nbf}");
        }
    }

    #[test]
    fn duplicate_claims_are_malformed() {
        let doubled = claims(&[]).replacen('{', r#"{"aud":"other","#, 1);
        assert_eq!(check(&token(r#"{"alg":"RS256"}"#, &doubled)), Err(TokenRefusal::Malformed));
    }

    #[test]
    fn fingerprints_of_different_tokens_differ() {
        let fingerprint = |text: &str| *BearerToken::new(&SecretValue::new(text.to_owned())).fingerprint();
        let (one, other) =
            (token(r#"{"alg":"RS256"}"#, &claims(&[])), token(r#"{"alg":"RS256"}"#, &claims(&[("x", 1.into())])));
        assert_eq!(fingerprint(&one), fingerprint(&one));
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }
}
