//! The validity of a token by its own claims. Only meaningful for an authenticated token.

use super::unverified_token::{BearerToken, UnverifiedToken, numeric_date};
use jiff::Timestamp;

/// Times in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLife {
    /// `iat`; the current time if the token has none.
    pub issued_at: i64,
    /// `exp`.
    pub expires_at: i64,
    /// Whole seconds until `exp`.
    pub left: u64,
}

impl TokenLife {
    /// `None` if it is not a JWT.
    pub(super) fn of(token: BearerToken<'_>, now: Timestamp) -> Option<Self> {
        let token = UnverifiedToken::parse(token).ok()?;
        let expires_at = token.expires_at();
        let left = expires_at.saturating_mul(1000).saturating_sub(now.as_millisecond()).div_euclid(1000);
        let issued_at = token.claims().get("iat").and_then(numeric_date).unwrap_or(now.as_second());
        Some(Self { issued_at, expires_at, left: u64::try_from(left).unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn life(claims: &str, now: &str) -> Option<TokenLife> {
        let [header, claims] = [r#"{"alg":"RS256"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        TokenLife::of(BearerToken::new(&SecretValue::new(format!("{header}.{claims}.c2ln"))), now.parse().unwrap())
    }

    #[test]
    fn a_second_that_has_begun_is_not_left() {
        let now = "1970-01-01T00:01:40.001Z";
        assert_eq!(life(r#"{"iat":90,"exp":200}"#, now), Some(TokenLife { issued_at: 90, expires_at: 200, left: 99 }));
        assert_eq!(life(r#"{"exp":200}"#, now).map(|life| life.issued_at), Some(100));
        assert_eq!(life(r#"{"exp":200}"#, "1970-01-01T00:01:40Z").map(|life| life.left), Some(100));
        assert_eq!(life(r#"{"exp":99}"#, now).map(|life| life.left), Some(0));
        assert_eq!(
            life(r#"{"exp":1e300}"#, now).map(|life| life.left),
            Some(u64::try_from(i64::MAX / 1000 - 100).unwrap())
        );
        assert_eq!(life("{}", now), None);
    }
}
