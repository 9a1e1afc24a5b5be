//! The responses of a token endpoint (RFC 6749, sections 5.1 and 5.2), which Azure and Google share. Pure.

use super::json_text::{parse_object, unescape};
use super::renewal::token_lifetime;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use zeroize::Zeroizing;

/// Parses the code of an error response. Empty if the body has no code.
pub(super) fn error_code(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        error: String,
    }
    parse_object::<Body>(body).unwrap_or_default().error
}

/// Parses the bearer token and its lifetime. `None` if the response is malformed or the token has another type.
pub(super) fn bearer_token(body: &[u8]) -> Option<(Zeroizing<String>, Duration)> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        access_token: &'a RawValue,
        token_type: String,
        expires_in: u64,
    }
    let Body { access_token, token_type, expires_in } = parse_object(body)?;
    let token = unescape(access_token.get()).ok().filter(|_| token_type.eq_ignore_ascii_case("bearer"))?;
    Some((token, token_lifetime(expires_in)?))
}
