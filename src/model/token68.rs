//! The characters of a bearer token.

/// Whether a text is a `token68` (RFC 9110), the only form that a bearer token has (RFC 6750).
#[must_use]
pub fn is_token68(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}
