//! The bearer token of a request (RFC 6750).

use crate::model::secret::SecretValue;
use crate::model::token68::is_token68;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token, if there is exactly one `Authorization` header with the scheme `Bearer` (in any case, RFC 9110), one space
/// and a `token68`.
pub fn of(headers: &HeaderMap) -> Option<SecretValue> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let good = scheme.eq_ignore_ascii_case("bearer") && is_token68(token);
    good.then(|| SecretValue::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        }
        of(&headers).is_some()
    }

    #[test]
    fn one_bearer_is_taken_and_nothing_else() {
        assert!(taken(&["Bearer a.b.c"]) && taken(&["bearer a.b.c"]) && taken(&["BEARER a-b_c~+/="]));
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
            assert!(!taken(values), "{values:?} was taken");
        }
    }
}
