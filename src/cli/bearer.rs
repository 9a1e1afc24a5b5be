//! Bearer tokens of commands (RFC 6750).

use crate::model::secret::SecretValue;
use crate::model::token68::is_token68;
use http::header::HeaderValue;
use zeroize::Zeroizing;

pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The text without white space around it, if it has the form of a bearer token.
pub fn parse(text: &str) -> Option<SecretValue> {
    let token = text.trim();
    (token.len() <= MAX_TOKEN_BYTES && is_token68(token)).then(|| SecretValue::new(token.to_owned()))
}

/// The `Authorization` header with a token; none if a header cannot carry it.
#[expect(clippy::disallowed_methods, reason = "the token goes into the header that it is for")]
pub fn header(token: &SecretValue) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
    let mut bearer = HeaderValue::from_str(&text).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}
