//! The meaning of responses, from Microsoft's reference or invented. There is no emulator of Key Vault.

use super::*;
use ReadError::{Absent, Deleted, Forbidden, Misconfigured, Unavailable};

fn error(code: &str, inner: &str) -> String {
    let inner = if inner.is_empty() { String::new() } else { format!(r#","innererror":{{"code":"{inner}"}}"#) };
    format!(r#"{{"error":{{"code":"{code}","message":"canary"{inner}}}}}"#)
}

#[test]
fn only_secret_not_found_in_json_means_absent_and_unknown_responses_are_unavailable() {
    for (status, body, expected, suspect) in [
        (404, error("SecretNotFound", ""), Absent, false),
        (404, error("secretnotfound", ""), Misconfigured, false),
        (404, "<html>".to_owned(), Misconfigured, false),
        (404, "{}".into(), Misconfigured, false),
        (404, format!("[{}]", error("SecretNotFound", "")), Misconfigured, false),
        (403, error("Forbidden", "SecretDisabled"), Deleted, false),
        (403, error("Forbidden", "ForbiddenByRbac"), Forbidden, false),
        (403, error("Forbidden", "AccessDenied"), Forbidden, false),
        (403, error("Forbidden", ""), Forbidden, false),
        (403, error("SecretDisabled", ""), Forbidden, false),
        (403, "<html>".into(), Forbidden, false),
        (401, error("Unauthorized", ""), Forbidden, true),
        (401, String::new(), Forbidden, true),
        (400, error("BadParameter", ""), Misconfigured, false),
        (400, String::new(), Misconfigured, false),
        (429, error("Throttled", ""), Unavailable, false),
        (500, error("InternalServerError", ""), Unavailable, false),
        (503, String::new(), Unavailable, false),
        (500, error("SecretNotFound", ""), Unavailable, false),
        (302, error("SecretNotFound", ""), Unavailable, false),
        (204, String::new(), Unavailable, false),
        (409, error("Conflict", "SecretDisabled"), Unavailable, false),
    ] {
        let meaning = classify_error(status, body.as_bytes());
        assert_eq!((meaning.error, meaning.credentials_suspect), (expected, suspect), "{status} {body}");
        assert_eq!(meaning.throttled, status == 429);
    }
}

#[test]
fn a_refused_login_is_forbidden_whatever_its_status_and_code() {
    let body =
        |code: &str| format!(r#"{{"error":"{code}","error_description":"AADSTS70021: canary","error_codes":[70021]}}"#);
    for (status, code, expected) in [
        (400, "invalid_request", Forbidden),
        (401, "invalid_client", Forbidden),
        (400, "invalid_client", Forbidden),
        (400, "unauthorized_client", Forbidden),
        (400, "something_new", Forbidden),
        (403, "", Forbidden),
        (400, "invalid_scope", Misconfigured),
        (400, "", Misconfigured),
        (404, "", Misconfigured),
        (429, "", Unavailable),
        (400, "temporarily_unavailable", Unavailable),
        (500, "invalid_client", Unavailable),
        (503, "", Unavailable),
        (302, "", Unavailable),
    ] {
        assert_eq!(classify_login_error(status, body(code).as_bytes()).error, expected, "{status} {code}");
    }
    assert_eq!(classify_login_error(400, b"<html>").error, Misconfigured);
}

#[test]
fn a_login_response_has_a_bearer_token_with_a_lifetime() {
    let ttl = |body: &str| parse_token(body.as_bytes()).map(|(_, ttl)| ttl.as_secs());
    let good = r#"{"token_type":"Bearer","expires_in":86399,"ext_expires_in":86399,"access_token":"eyJ.x"}"#;
    assert_eq!(ttl(good), Some(86399));
    for (from, to) in [
        (r#""expires_in":86399"#, r#""expires_in":0"#),
        (r#""expires_in":86399"#, r#""expires_in":-1"#),
        (r#""expires_in":86399"#, r#""expires_in":1.5"#),
        (r#""expires_in":86399,"#, ""),
        ("Bearer", "pop"),
        ("eyJ.x", ""),
        ("eyJ.x", "a\\nb"),
        (r#""eyJ.x""#, "null"),
    ] {
        assert_eq!(ttl(&good.replacen(from, to, 1)), None, "{from} {to}");
    }
}

const ID: &str = "https://acme.vault.azure.net/secrets/homelab--a/4387e9f3d6e14c459867679a90fd0f79";

fn version(id: &str, value: &str, attributes: &str) -> String {
    let value = serde_json::to_string(value).unwrap();
    format!(r#"{{"value":{value},"id":"{id}","attributes":{{{attributes}}},"tags":{{}}}}"#)
}

fn read(body: &str, form: ValueFormat) -> Result<DatedSecret, ReadError> {
    parse_secret(body.as_bytes(), "homelab--a", form, &StorePath::try_from("homelab/a").unwrap())
}

#[test]
fn a_response_becomes_the_keys_and_values_of_the_requested_secret() {
    let good = version(ID, r#"{"K":"v"}"#, r#""enabled":true,"created":1493938410,"updated":1493938410"#);
    let DatedSecret { secret, not_before, expires } = read(&good, ValueFormat::Object).unwrap();
    assert_eq!(secret.data, [("K".to_owned(), Some(SecretValue::new("v".into())))].into());
    assert_eq!(secret.version.as_deref(), Some("4387e9f3d6e14c459867679a90fd0f79"));
    assert_eq!(secret.created_at, Timestamp::from_second(1_493_938_410).ok());
    assert_eq!((not_before, expires), (None, None));
    let upper = version(&ID.replace("homelab--a", "HomeLab--A"), "{}", "");
    assert!(read(&upper, ValueFormat::Object).is_ok(), "names know no case");
    let text = read(&version(ID, "hunter2", ""), ValueFormat::Text).unwrap();
    assert_eq!(text.secret.data, [("a".to_owned(), Some(SecretValue::new("hunter2".into())))].into());
}

#[test]
fn each_malformed_response_has_its_class() {
    let object = r#"{"K":"v"}"#;
    for (body, expected) in [
        (version(ID, object, r#""enabled":false"#), Deleted),
        (version(&ID.replace("homelab--a", "homelab--b"), object, ""), Unavailable),
        (version(&ID.replace("/secrets/", "/keys/"), object, ""), Unavailable),
        (version("https://acme.vault.azure.net/secrets/homelab--a", object, ""), Unavailable),
        (version(&format!("{ID}/"), object, ""), Unavailable),
        (version(ID, "hunter2", ""), Misconfigured),
        (version(ID, "-----BEGIN PRIVATE KEY-----", ""), Misconfigured),
        (version(ID, object, "").replace(r#""value":"#, r#""other":"#), Unavailable),
        (version(ID, object, r#""enabled":"yes""#), Unavailable),
        (format!(r#"{{"value":1,"id":"{ID}","attributes":{{}}}}"#), Unavailable),
        ("{}".into(), Unavailable),
        ("[]".into(), Unavailable),
        ("<html>".into(), Unavailable),
        (String::new(), Unavailable),
    ] {
        assert_eq!(read(&body, ValueFormat::Object), Err(expected), "{body}");
    }
    assert_eq!(read(&version(ID, "a\0", ""), ValueFormat::Text), Err(Misconfigured));
}

#[test]
fn a_secret_outside_its_dates_counts_as_deleted_unless_configured_otherwise() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    for (attributes, in_time) in [
        ("", true),
        (r#""exp":1000001"#, true),
        (r#""exp":1000000"#, false),
        (r#""exp":1"#, false),
        (r#""nbf":1000000"#, true),
        (r#""nbf":1000001"#, false),
        (r#""nbf":1,"exp":2000000"#, true),
        (r#""nbf":1,"exp":2"#, false),
    ] {
        let parsed = || read(&version(ID, "{}", attributes), ValueFormat::Object).unwrap();
        let refused = parsed().if_valid_now(ExpiredSecrets::Refuse, now).map(|_| ());
        assert_eq!(refused, if in_time { Ok(()) } else { Err(Deleted) }, "{attributes}");
        assert!(parsed().if_valid_now(ExpiredSecrets::Serve, now).is_ok(), "{attributes}");
    }
}
