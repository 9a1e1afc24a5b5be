//! An OAuth access token as an HTTP header. Pure.

use super::json_text::unescape;
use http::HeaderValue;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The value of the `Authorization` header. `Debug` does not show the token.
#[derive(Clone)]
pub(super) struct AccessToken(HeaderValue);

impl AccessToken {
    /// `None` if the text is empty or not a valid header value.
    pub(super) fn new(token: &str) -> Option<Self> {
        let text = Zeroizing::new(format!("Bearer {token}"));
        let mut header = HeaderValue::from_str(&text).ok().filter(|_| !token.is_empty())?;
        header.set_sensitive(true);
        Some(Self(header))
    }

    /// Parses the token from a JSON string.
    pub(super) fn from_json(json: &RawValue) -> Option<Self> {
        Self::new(&unescape(json.get()).ok()?)
    }

    /// The value of `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_into_a_header_and_has_no_debug_text() {
        let token = AccessToken::new("ya29.x").unwrap();
        assert_eq!(token.header(), "Bearer ya29.x");
        assert!(!format!("{:?}", token.header()).contains("ya29"));
        for text in ["", "a\nb", "a\0", "é\u{1}"] {
            assert!(AccessToken::new(text).is_none(), "{text:?}");
        }
        let json = |text: &str| AccessToken::from_json(serde_json::from_str::<&RawValue>(text).unwrap());
        assert_eq!(json(r#""a\/b""#).unwrap().header(), "Bearer a/b");
        assert!(json("null").is_none() && json("1").is_none() && json(r#""a\nb""#).is_none());
    }
}
