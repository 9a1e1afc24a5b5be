//! `POST` and `PUT /v1/auth/{mount}/login`: authenticates the caller's token and returns the same token as the client token.

use super::refusal::{Refusal, invalid};
use super::responses::json;
use super::vault_request::VaultRequest;
use crate::http::body;
use crate::http::percent_decoding;
use crate::model::secret::SecretValue;
use crate::wire::problem::Code;
use crate::wire::shell_safe_json;
use crate::wire::vault::{VaultAnswer, VaultAuth, VaultLoggedIn, VaultLogin, VaultNoData, VaultRole};
use axum::body::Body;
use axum::response::Response;

const INVALID_MOUNT_DETAIL: &str =
    "name the mount in auth/{mount}/login: no segment of it may be empty, . or .., or have an encoded slash";

/// Authenticates the caller's own token and returns it as the client token. Nothing is stored: the token keeps its own expiry.
#[utoipa::path(
    method(post, put),
    path = "/v1/auth/{mount}/login",
    operation_id = "vaultLogin",
    tag = "vault",
    security(()),
    // The pattern is narrower than what is accepted: it has only names of one segment that cannot be `token`.
    params(("mount" = String, Path, description = "Any name but `token`; it is ignored", pattern = "^[a-su-z][a-z]*$")),
    request_body(content((VaultLogin = "application/json"))),
    responses((status = 200, description = "The login", body = inline(VaultLoggedIn)))
)]
pub(super) async fn log_in(request: VaultRequest<'_>, mount: &str, body: Body) -> Result<Response, Refusal> {
    check_mount(mount)?;
    let bytes = body::read(request.state, &request.parts.headers, body).await?;
    let VaultLogin { jwt, role } = parse_body(&bytes)?;
    // Without a token, the login is refused like any request without a token.
    let jwt = jwt.unwrap_or_default();
    let token = (!jwt.trim().is_empty()).then(|| trim_token(jwt));
    let session = request.state.broker.log_in(token.as_ref(), &request.context).await?;
    let token = token.ok_or(Code::Unauthenticated)?;
    #[expect(clippy::disallowed_methods, reason = "the token goes back to its bearer")]
    let auth = VaultAuth {
        client_token: token.expose_secret(),
        accessor: "",
        policies: ["default"],
        token_policies: ["default"],
        metadata: VaultRole { role: role.unwrap_or_default() },
        lease_duration: session.lifetime.remaining_seconds.min(request.api.max_token_ttl.as_secs()),
        renewable: false,
        entity_id: "",
        token_type: "batch",
        orphan: true,
        mfa_requirement: (),
        num_uses: 0,
    };
    let body = VaultAnswer::<VaultNoData>::with_auth(request.request_id(), auth);
    Ok(json(shell_safe_json::to_string(&body).map_err(|_| Code::Internal)?))
}

/// Checks that the mount has only valid segments. [`super::target`] has refused the mount `token` before.
fn check_mount(mount: &str) -> Result<(), Refusal> {
    let mut segments = mount.split('/').map(percent_decoding::decode);
    let is_name =
        |name: &str| !matches!(name, "" | "." | "..") && !name.contains('/') && !name.contains(char::is_control);
    if segments.all(|segment| segment.is_ok_and(|name| is_name(&name))) {
        Ok(())
    } else {
        Err(invalid(INVALID_MOUNT_DETAIL))
    }
}

/// Parses the body as JSON whatever its `Content-Type`, because clients send no header or that of a form. The error is a fixed
/// text, because Serde's message could quote the token.
fn parse_body(bytes: &[u8]) -> Result<VaultLogin, Refusal> {
    const INVALID_BODY_DETAIL: &str = "the body must be one JSON object with jwt and role, both strings";
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid(INVALID_BODY_DETAIL));
    }
    serde_json::from_slice(bytes).map_err(|_| invalid(INVALID_BODY_DETAIL))
}

/// Removes whitespace around a token, and overwrites the original.
fn trim_token(jwt: String) -> SecretValue {
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
    fn a_mount_has_only_valid_segments() {
        for good in ["kubernetes", "jwt", "a/b", "my%20mount", "x.y", "tokens", "a/token", "a%25b"] {
            assert!(check_mount(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "%2e%2e", "a%2Fb", "a%", "%zz", "a%00", "%ff"] {
            assert!(check_mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_is_one_object_and_may_have_other_members() {
        let parse = |body: &str| parse_body(body.as_bytes()).ok().map(|login| (login.jwt, login.role));
        assert_eq!(parse(r#"{"jwt":"a","role":"b","x":[{}],"nonce":1}"#), Some((Some("a".into()), Some("b".into()))));
        assert_eq!(parse(r#" {"jwt":"a","role":null}"#), Some((Some("a".into()), None)));
        assert_eq!(parse("{}"), Some((None, None)));
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
            assert_eq!(parse(bad), None, "{bad:.40}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "no secret is tested")]
    fn whitespace_around_a_token_is_removed() {
        for text in ["a.b", " a.b\r\n", "a.b\n"] {
            assert_eq!(trim_token(text.to_owned()).expose_secret(), "a.b");
        }
    }
}
