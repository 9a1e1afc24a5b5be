//! The headers of Vault's clients: the token, and unsupported headers that would be unsafe to ignore.

use super::refusal::{Refusal, invalid};
use crate::http::bearer;
use crate::model::secret::SecretValue;
use crate::model::token68::is_token68;
use http::HeaderMap;

const TOKEN: &str = "x-vault-token";
const NAMESPACE: &str = "x-vault-namespace";
const WRAP_TTL: &str = "x-vault-wrap-ttl";

/// Refuses unsupported headers that change the meaning of a request. If response wrapping were ignored, a client would print the
/// plain secret; if a namespace were ignored, a client would get another secret than it expects.
///
/// # Errors
/// `invalid_request`.
pub fn refuse_unsupported(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(WRAP_TTL) {
        return Err(invalid("response wrapping is not supported"));
    }
    let is_root = |value: &http::HeaderValue| matches!(value.as_bytes().trim_ascii(), b"" | b"root" | b"/");
    if !headers.get_all(NAMESPACE).iter().all(is_root) {
        return Err(invalid("namespaces are not supported"));
    }
    Ok(())
}

/// The token from `X-Vault-Token` or, without that header, from `Authorization`, as in Vault. `None` if there is none, or several.
pub fn token(headers: &HeaderMap) -> Option<SecretValue> {
    let mut values = headers.get_all(TOKEN).iter().filter(|value| !value.is_empty());
    match (values.next(), values.next()) {
        (None, _) => bearer::token(headers),
        (Some(value), None) => {
            value.to_str().ok().filter(|token| is_token68(token)).map(|token| SecretValue::new(token.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn wrapping_and_namespaces_are_refused() {
        for good in
            [&[][..], &[(NAMESPACE, "")], &[(NAMESPACE, "root")], &[(NAMESPACE, "/")], &[("x-vault-request", "true")]]
        {
            assert!(refuse_unsupported(&headers(good)).is_ok(), "{good:?}");
        }
        for bad in [
            &[(WRAP_TTL, "60s")][..],
            &[(WRAP_TTL, "")],
            &[(NAMESPACE, "team")],
            &[(NAMESPACE, "root/team")],
            &[(NAMESPACE, "Root")],
            &[(NAMESPACE, ""), (NAMESPACE, "team")],
        ] {
            assert!(refuse_unsupported(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn x_vault_token_takes_precedence_over_authorization() {
        let is = |all: &[(&'static str, &str)], expected: Option<&str>| {
            let found = token(&headers(all));
            found == expected.map(|text| SecretValue::new(text.to_owned()))
        };
        assert!(is(&[(TOKEN, "a.b.c")], Some("a.b.c")));
        assert!(is(&[("authorization", "Bearer a.b.c")], Some("a.b.c")));
        assert!(is(&[(TOKEN, "a.b.c"), ("authorization", "Bearer d")], Some("a.b.c")));
        assert!(is(&[(TOKEN, ""), ("authorization", "Bearer d")], Some("d")));
        for none in [
            &[][..],
            &[(TOKEN, "")],
            &[(TOKEN, "a b")],
            &[(TOKEN, "Bearer a.b.c")],
            &[(TOKEN, "a"), (TOKEN, "a")],
            &[(TOKEN, "a,b")],
            &[("authorization", "Basic YTpi")],
        ] {
            assert!(is(none, None), "{none:?}");
        }
    }
}
