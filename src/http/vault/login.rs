//! `POST` and `PUT /v1/auth/{mount}/login`: reviews the caller's own token and returns it as the client token.

use super::answer::json;
use super::call::Call;
use super::refusal::{Refusal, invalid};
use crate::http::body;
use crate::http::percent;
use crate::model::secret::SecretValue;
use crate::wire::inert_json;
use crate::wire::problem::Code;
use crate::wire::vault::{VaultAnswer, VaultAuth, VaultLoggedIn, VaultLogin, VaultNoData, VaultRole};
use axum::body::Body;
use axum::response::Response;

const NAME_THE_MOUNT: &str = "name the mount of the auth method: auth/{mount}/login, any name but token";

/// Reviews the caller's own token, and answers it as the client token. Nothing is stored: the token ends by its own time.
#[utoipa::path(
    method(post, put),
    path = "/v1/auth/{mount}/login",
    operation_id = "vaultLogin",
    tag = "vault",
    security(()),
    params(("mount" = String, Path, description = "Any name but `token`; it decides nothing", pattern = "^[a-su-z][a-z]*$")),
    request_body(content((VaultLogin = "application/json"))),
    responses((status = 200, description = "The login", body = inline(VaultLoggedIn)))
)]
pub(super) async fn answer(call: Call<'_>, mount: &str, body: Body) -> Result<Response, Refusal> {
    check(mount)?;
    let bytes = body::read(call.edge, &call.parts.headers, body).await?;
    let VaultLogin { jwt, role } = parse(&bytes)?;
    // A login without a token is refused like a read without one.
    let jwt = jwt.unwrap_or_default();
    let token = (!jwt.trim().is_empty()).then(|| trimmed(jwt));
    let session = call.edge.broker.log_in(token.as_ref(), &call.context).await?;
    let token = token.ok_or(Code::Unauthenticated)?;
    #[expect(clippy::disallowed_methods, reason = "the token goes back to its bearer")]
    let auth = VaultAuth {
        client_token: token.expose_secret(),
        accessor: "",
        policies: ["default"],
        token_policies: ["default"],
        metadata: VaultRole { role: role.unwrap_or_default() },
        lease_duration: session.life.left.min(call.api.max_token_ttl.as_secs()),
        renewable: false,
        entity_id: "",
        token_type: "batch",
        orphan: true,
        mfa_requirement: (),
        num_uses: 0,
    };
    let answer = VaultAnswer::<VaultNoData>::with_auth(call.request_id(), auth);
    Ok(json(inert_json::to_string(&answer).map_err(|_| Code::Internal)?))
}

/// One segment or more. [`super::target`] has already refused the mount of tokens.
fn check(mount: &str) -> Result<(), Refusal> {
    let mut segments = mount.split('/').map(percent::decode);
    let is_name =
        |name: &str| !matches!(name, "" | "." | "..") && !name.contains('/') && !name.contains(char::is_control);
    if segments.all(|segment| segment.is_ok_and(|name| is_name(&name))) { Ok(()) } else { Err(invalid(NAME_THE_MOUNT)) }
}

/// Parses JSON for any `Content-Type`: clients send none, or that of a form. Serde's message could quote the
/// token.
fn parse(bytes: &[u8]) -> Result<VaultLogin, Refusal> {
    const NOT_AN_OBJECT: &str = "the body must be one JSON object with jwt and role, both strings";
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid(NOT_AN_OBJECT));
    }
    serde_json::from_slice(bytes).map_err(|_| invalid(NOT_AN_OBJECT))
}

fn trimmed(jwt: String) -> SecretValue {
    if jwt.trim().len() == jwt.len() {
        return SecretValue::new(jwt);
    }
    let token = SecretValue::new(jwt.trim().to_owned());
    drop(SecretValue::new(jwt));
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_one_segment_or_more_none_of_them_dots() {
        for good in ["kubernetes", "jwt", "a/b", "my%20mount", "x.y", "tokens", "a/token", "a%25b"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "%2e%2e", "a%2Fb", "a%", "%zz", "a%00", "%ff"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_is_one_object_whatever_else_is_in_it() {
        let read = |body: &str| parse(body.as_bytes()).ok().map(|login| (login.jwt, login.role));
        assert_eq!(read(r#"{"jwt":"a","role":"b","x":[{}],"nonce":1}"#), Some((Some("a".into()), Some("b".into()))));
        assert_eq!(read(r#" {"jwt":"a","role":null}"#), Some((Some("a".into()), None)));
        assert_eq!(read("{}"), Some((None, None)));
        let deep = format!(r#"{{"x":{}"#, "[".repeat(10_000));
        for bad in [
            "",
            "null",
            "[]",
            r#"["a","b"]"#,
            "{",
            r#"{"jwt":1}"#,
            r#"{"jwt":"a","role":1}"#,
            r#"{"jwt":"a","jwt":"b"}"#,
            "{}{}",
            "jwt=a&role=b",
            deep.as_str(),
        ] {
            assert_eq!(read(bad), None, "{bad:.40}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "no secret is tested")]
    fn whitespace_around_a_token_is_cut() {
        for text in ["a.b", " a.b\r\n", "a.b\n"] {
            assert_eq!(trimmed(text.to_owned()).expose_secret(), "a.b");
        }
    }
}
