//! The bearer token of a request (RFC 6750).

use crate::model::secret::SecretValue;
use crate::model::token68::is_token68;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token, if there is exactly one `Authorization` header with the scheme `Bearer` (in any case, RFC 9110), one space
/// and a `token68`. `None` otherwise.
pub fn token(headers: &HeaderMap) -> Option<SecretValue> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let is_valid = scheme.eq_ignore_ascii_case("bearer") && is_token68(token);
    is_valid.then(|| SecretValue::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        }
        token(&headers).is_some()
    }

    #[test]
    fn only_a_single_bearer_token_is_accepted() {
        assert!(is_accepted(&["Bearer a.b.c"]) && is_accepted(&["bearer a.b.c"]) && is_accepted(&["BEARER a-b_c~+/="]));
        for values in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer  a"],
            &["Bearer\ta"],
            &["Bearer a b"],
            &["Bearer a,b"],
            &["Basic YTpi"],
            &["a.b.c"],
            &["Bearer a", "Bearer a"],
            &["Bearer a", "Basic b"],
        ] {
            assert!(!is_accepted(values), "{values:?} was accepted");
        }
    }
}
