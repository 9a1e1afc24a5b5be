//! Parses bearer tokens, and puts them into the `Authorization` header (RFC 6750).

use crate::model::secret::SecretValue;
use crate::model::token68::is_token68;
use http::header::HeaderValue;
use zeroize::Zeroizing;

pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Parses a bearer token. White space around it is removed. `None` if it is not in the form of RFC 6750, or too long.
pub fn parse_token(text: &str) -> Option<SecretValue> {
    let token = text.trim();
    (token.len() <= MAX_TOKEN_BYTES && is_token68(token)).then(|| SecretValue::new(token.to_owned()))
}

/// The value of the `Authorization` header, marked as sensitive. `None` if the token has a character that no header may have.
#[expect(clippy::disallowed_methods, reason = "the token goes into the header that it is for")]
pub fn authorization_header(token: &SecretValue) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
