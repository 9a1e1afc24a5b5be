//! The lifetime of a token by its own claims, which are to be trusted only for an authenticated token.

use super::unverified_token::{BearerToken, UnverifiedToken, numeric_date};
use jiff::Timestamp;

/// The lifetime of a token. Times are in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLifetime {
    /// `iat`; the current time if the token has none.
    pub issued_at: i64,
    /// `exp`.
    pub expires_at: i64,
    /// Whole seconds until `exp`. Zero for an expired token.
    pub remaining_seconds: u64,
}

impl TokenLifetime {
    /// `None` if the token is not a JWT with an `exp`.
    pub(super) fn of(token: BearerToken<'_>, now: Timestamp) -> Option<Self> {
        let token = UnverifiedToken::parse(token).ok()?;
        let expires_at = token.expires_at();
        let remaining_seconds = expires_at.saturating_mul(1000).saturating_sub(now.as_millisecond()).div_euclid(1000);
        let issued_at = token.claims().get("iat").and_then(numeric_date).unwrap_or(now.as_second());
        Some(Self { issued_at, expires_at, remaining_seconds: u64::try_from(remaining_seconds).unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn lifetime(claims: &str, now: &str) -> Option<TokenLifetime> {
        let [header, claims] = [r#"{"alg":"RS256"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        TokenLifetime::of(BearerToken::new(&SecretValue::new(format!("{header}.{claims}.c2ln"))), now.parse().unwrap())
    }

    #[test]
    fn remaining_seconds_are_rounded_down() {
        let now = "1970-01-01T00:01:40.001Z";
        assert_eq!(
            lifetime(r#"{"iat":90,"exp":200}"#, now),
            Some(TokenLifetime { issued_at: 90, expires_at: 200, remaining_seconds: 99 })
        );
        assert_eq!(lifetime(r#"{"exp":200}"#, now).map(|lifetime| lifetime.issued_at), Some(100));
        assert_eq!(
            lifetime(r#"{"exp":200}"#, "1970-01-01T00:01:40Z").map(|lifetime| lifetime.remaining_seconds),
            Some(100)
        );
        assert_eq!(lifetime(r#"{"exp":99}"#, now).map(|lifetime| lifetime.remaining_seconds), Some(0));
        assert_eq!(
            lifetime(r#"{"exp":1e300}"#, now).map(|lifetime| lifetime.remaining_seconds),
            Some(u64::try_from(i64::MAX / 1000 - 100).unwrap())
        );
        assert_eq!(lifetime("{}", now), None);
    }
}
