//! A token taken apart but not believed: what it says of itself serves to refuse it early, and to ask the right one.

use super::error::Refusal;
use super::strict_json;
use crate::model::secret::SecretValue;
use crate::sealing::digest::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Longer tokens are not read.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;
/// The signature algorithms that somebody here might take. Never `none`, never a symmetric one: a public key must not
/// become a password.
const ASYMMETRIC: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// A SHA-256 of a token, which stands for it where the token itself must not be kept.
pub type Fingerprint = [u8; 32];

/// A JWT (RFC 7519) in compact form whose signature nobody has looked at.
pub struct UnverifiedToken<'a> {
    bearer: &'a SecretValue,
    /// Header and claims as they were signed.
    message: &'a str,
    signature: &'a str,
    algorithm: String,
    key_id: Option<String>,
    claims: Map<String, Value>,
    expires_at: i64,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it is no JWT that anybody here would take.
    pub(super) fn read(bearer: &'a SecretValue) -> Result<Self, Refusal> {
        Self::parse(bearer).ok_or(Refusal::Malformed)
    }

    #[expect(clippy::disallowed_methods, reason = "a token is taken apart where it comes in")]
    fn parse(bearer: &'a SecretValue) -> Option<Self> {
        let text = bearer.expose_secret();
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if URL_SAFE_NO_PAD.decode(signature).ok()?.is_empty() {
            return None;
        }
        let mut header = strict_json::object(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        let algorithm = match header.remove("alg")? {
            Value::String(name) if ASYMMETRIC.contains(&name.as_str()) => name,
            _ => return None,
        };
        let key_id = match header.remove("kid") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return None,
        };
        // Extensions that a reader must understand (RFC 7515, 4.1.11): we know none.
        if header.contains_key("crit") {
            return None;
        }
        let claims = strict_json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
        let expires_at = numeric_date(claims.get("exp")?)?;
        Some(Self { bearer, message, signature, algorithm, key_id, claims, expires_at })
    }

    /// Refuses what is for others or not of this time. Passing it proves nothing.
    ///
    /// # Errors
    /// [`Refusal::WrongAudience`], [`Refusal::Expired`], or [`Refusal::Malformed`] for an `nbf` that is no date.
    pub(super) fn check(&self, audience: &str, now: Timestamp) -> Result<(), Refusal> {
        let ours = match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().any(|one| one == audience),
            _ => false,
        };
        if !ours {
            return Err(Refusal::WrongAudience);
        }
        let now = now.as_second();
        if now >= self.expires_at.saturating_add(LEEWAY) {
            return Err(Refusal::Expired);
        }
        if let Some(not_before) = self.claims.get("nbf") {
            let not_before = numeric_date(not_before).ok_or(Refusal::Malformed)?;
            if now.saturating_add(LEEWAY) < not_before {
                return Err(Refusal::Expired);
            }
        }
        Ok(())
    }

    /// The token itself.
    pub(super) fn bearer(&self) -> &'a SecretValue {
        self.bearer
    }

    /// What was signed: header and claims in their encoding.
    pub(super) fn message(&self) -> &'a str {
        self.message
    }

    /// The signature in its encoding.
    pub(super) fn signature(&self) -> &'a str {
        self.signature
    }

    /// The algorithm it says it is signed with, an asymmetric one.
    pub(super) fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key it says it is signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What stands for header and claims, whatever the signature.
    pub(super) fn claims_fingerprint(&self) -> Fingerprint {
        sha256(self.message.as_bytes())
    }

    /// What it claims.
    pub(super) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// A claim that is a text.
    pub(super) fn text_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Until when it says it is valid, without leeway, in seconds since 1970.
    pub(super) fn expires_at(&self) -> i64 {
        self.expires_at
    }
}

/// The fingerprint of a token, taken apart or not.
#[expect(clippy::disallowed_methods, reason = "the token goes into a hash")]
pub(super) fn fingerprint(bearer: &SecretValue) -> Fingerprint {
    sha256(bearer.expose_secret().as_bytes())
}

/// A `NumericDate` (RFC 7519, 2): seconds since 1970, fractions cut off.
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

    fn verdict(text: &str) -> Result<(), Refusal> {
        let bearer = SecretValue::new(text.to_owned());
        UnverifiedToken::read(&bearer)?.check("claviger", Timestamp::from_second(NOW).unwrap())
    }

    fn with_claims(changes: &[(&str, Value)]) -> Result<(), Refusal> {
        verdict(&token(r#"{"alg":"RS256","kid":"k"}"#, &claims(changes)))
    }

    #[test]
    fn takes_a_token_apart() {
        let text = token(r#"{"alg":"ES256","kid":"k"}"#, &claims(&[]));
        let bearer = SecretValue::new(text.clone());
        let token = UnverifiedToken::read(&bearer).expect("a token");
        assert_eq!((token.algorithm(), token.key_id(), token.text_claim("iss")), ("ES256", Some("k"), Some("i")));
        assert_eq!(format!("{}.{}", token.message(), token.signature()), text);
        assert_eq!(token.expires_at(), NOW + 600);
        assert_eq!(token.text_claim("exp"), None, "not a text");
        assert_eq!(verdict(&text), Ok(()));
    }

    #[test]
    fn hostile_texts_are_malformed() {
        let good = token(r#"{"alg":"RS256"}"#, &claims(&[]));
        assert_eq!(verdict(&good), Ok(()));
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
            assert_eq!(verdict(&text), Err(Refusal::Malformed), "{text:.80}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let padded = |fill: usize| token(r#"{"alg":"RS256"}"#, &claims(&[("x", "x".repeat(fill).into())]));
        let largest = (0..MAX_TOKEN_BYTES).rev().find(|fill| padded(*fill).len() <= MAX_TOKEN_BYTES).unwrap();
        assert_eq!(verdict(&padded(largest)), Ok(()));
        assert_eq!(verdict(&padded(largest + 2)), Err(Refusal::Malformed));
        assert_eq!(verdict(&padded(64 << 10)), Err(Refusal::Malformed));
    }

    #[test]
    fn hostile_headers_are_malformed() {
        let claims = claims(&[]);
        for name in ASYMMETRIC {
            assert_eq!(verdict(&token(&json!({"alg": name}).to_string(), &claims)), Ok(()), "{name}");
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
            assert_eq!(verdict(&token(header, &claims)), Err(Refusal::Malformed), "{header}");
        }
    }

    #[test]
    fn the_audience_must_be_ours() {
        assert_eq!(with_claims(&[("aud", "claviger".into())]), Ok(()));
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
            assert_eq!(with_claims(&[("aud", aud.clone())]), Err(Refusal::WrongAudience), "{aud}");
        }
    }

    #[test]
    fn time_is_checked_with_a_minute_of_leeway() {
        for (exp, expected) in [
            (json!(NOW - 59), Ok(())),
            (json!(NOW - 60), Err(Refusal::Expired)),
            (json!(f64::from(i32::MAX)), Ok(())),
            (json!(u64::MAX), Ok(())),
            (json!(1e300), Ok(())),
            (json!(0), Err(Refusal::Expired)),
            (json!(i64::MIN), Err(Refusal::Expired)),
            (json!(-1e300), Err(Refusal::Expired)),
            (json!("1900000000"), Err(Refusal::Malformed)),
            (json!([NOW + 600]), Err(Refusal::Malformed)),
            (Value::Null, Err(Refusal::Malformed)),
        ] {
            assert_eq!(with_claims(&[("exp", exp.clone())]), expected, "{exp}");
        }
        for (nbf, expected) in [
            (Value::Null, Ok(())),
            (json!(NOW + 60), Ok(())),
            (json!(NOW + 61), Err(Refusal::Expired)),
            (json!(u64::MAX), Err(Refusal::Expired)),
            (json!("0"), Err(Refusal::Malformed)),
        ] {
            assert_eq!(with_claims(&[("nbf", nbf.clone())]), expected, "{nbf}");
        }
    }

    #[test]
    fn claims_that_stand_twice_are_malformed() {
        let doubled = claims(&[]).replacen('{', r#"{"aud":"other","#, 1);
        assert_eq!(verdict(&token(r#"{"alg":"RS256"}"#, &doubled)), Err(Refusal::Malformed));
    }

    #[test]
    fn a_fingerprint_stands_for_one_token() {
        let fingerprint = |text: &str| fingerprint(&SecretValue::new(text.to_owned()));
        let (one, other) =
            (token(r#"{"alg":"RS256"}"#, &claims(&[])), token(r#"{"alg":"RS256"}"#, &claims(&[("x", 1.into())])));
        assert_eq!(fingerprint(&one), fingerprint(&one));
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }
}
