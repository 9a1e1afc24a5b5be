//! The meaning of responses. Those marked "seen" were sent by drongo, a simulator of Secret Manager. The others are from Google's
//! reference or invented.

use super::*;
use crate::model::secret::SecretValue;
use ReadError::{Absent, Deleted, Forbidden, Misconfigured, Unavailable};

fn error(code: u16, status: &str) -> String {
    format!(r#"{{"error":{{"code":{code},"message":"canary","status":"{status}"}}}}"#)
}

#[test]
fn only_not_found_in_json_means_absent_and_unknown_responses_are_unavailable() {
    let switched_off = r#"{"error":{"code":403,"status":"PERMISSION_DENIED","details":[
        {"@type":"type.googleapis.com/google.rpc.Help","links":[]},
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","domain":"googleapis.com"}]}}"#;
    for (status, body, expected, suspect) in [
        (404, error(404, "NOT_FOUND"), Absent, false), // seen
        (404, "<html>".to_owned(), Misconfigured, false),
        (404, "{}".into(), Misconfigured, false),
        (404, error(404, "UNKNOWN"), Misconfigured, false),
        (404, format!("[{}]", error(404, "NOT_FOUND")), Misconfigured, false),
        (400, error(400, "FAILED_PRECONDITION"), Deleted, false), // seen
        (400, error(400, "INVALID_ARGUMENT"), Misconfigured, false),
        (400, "<html>".into(), Misconfigured, false),
        (403, error(403, "PERMISSION_DENIED"), Forbidden, false),
        (403, switched_off.into(), Misconfigured, false),
        (403, "<html>".into(), Forbidden, false),
        (401, error(401, "UNAUTHENTICATED"), Forbidden, true),
        (401, String::new(), Forbidden, true),
        (429, error(429, "RESOURCE_EXHAUSTED"), Unavailable, false),
        (500, error(500, "INTERNAL"), Unavailable, false),
        (503, error(503, "UNAVAILABLE"), Unavailable, false),
        (500, error(404, "NOT_FOUND"), Unavailable, false),
        (302, String::new(), Unavailable, false),
        (204, String::new(), Unavailable, false),
        (418, error(404, "NOT_FOUND"), Unavailable, false),
    ] {
        let meaning = classify_error(status, body.as_bytes());
        assert_eq!((meaning.error, meaning.credentials_suspect), (expected, suspect), "{status} {body}");
        assert_eq!(meaning.throttled, status == 429);
    }
}

#[test]
fn a_refused_exchange_is_forbidden_and_a_missing_provider_misconfigured() {
    for (status, code, expected) in [
        (400, "invalid_grant", Forbidden),
        (400, "unauthorized_client", Forbidden),
        (400, "invalid_target", Misconfigured),
        (400, "invalid_request", Misconfigured),
        (400, "something_new", Misconfigured),
        (401, "invalid_client", Forbidden),
        (403, "", Forbidden),
        (404, "", Misconfigured),
        (429, "", Unavailable),
        (500, "invalid_grant", Unavailable),
        (302, "", Unavailable),
    ] {
        let body = format!(r#"{{"error":"{code}","error_description":"canary"}}"#);
        assert_eq!(classify_exchange_error(status, body.as_bytes()).error, expected, "{status} {code}");
    }
}

#[test]
fn a_missing_service_account_is_forbidden() {
    for (status, expected) in [
        (401, Forbidden),
        (403, Forbidden),
        (404, Forbidden),
        (400, Misconfigured),
        (429, Unavailable),
        (500, Unavailable),
        (301, Unavailable),
    ] {
        assert_eq!(classify_iam_or_metadata_error(status).error, expected, "{status}");
    }
}

/// The keys with their values, and the version.
type Shown = (Vec<(String, Option<String>)>, Option<String>);

#[expect(clippy::disallowed_methods, reason = "the test compares the values")]
fn read(body: &str, form: ValueFormat) -> Result<Shown, SecretParseError> {
    let text = |value: SecretValue| value.expose_secret().to_owned();
    let path = StorePath::try_from("homelab/a").unwrap();
    let read = parse_secret(body.as_bytes(), "homelab__a", form, &path)?;
    Ok((read.data.into_iter().map(|(key, value)| (key, value.map(text))).collect(), read.version))
}

/// A response with these bytes as data.
fn version(name: &str, data: &[u8], checksum: Option<&str>) -> String {
    let checksum = checksum.map_or_else(String::new, |checksum| format!(r#","dataCrc32c":"{checksum}""#));
    format!(r#"{{"name":"{name}","payload":{{"data":"{}"{checksum}}}}}"#, STANDARD.encode(data))
}

const NAME: &str = "projects/123456789012/secrets/homelab__a/versions/5";

#[test]
fn a_response_becomes_the_keys_and_values_of_the_requested_secret() {
    let good = Ok((vec![("K".to_owned(), Some("v".to_owned()))], Some("5".to_owned())));
    let data = br#"{"K":"v"}"#;
    assert_eq!(read(&version(NAME, data, None), ValueFormat::Object), good);
    let right = CRC32C.checksum(data).to_string();
    assert_eq!(read(&version(NAME, data, Some(&right)), ValueFormat::Object), good);
    let regional = "projects/acme/locations/europe-west3/secrets/homelab__a/versions/5";
    assert_eq!(read(&version(regional, data, None), ValueFormat::Object), good);
    let text = read(&version(NAME, "é\n".as_bytes(), None), ValueFormat::Text);
    assert_eq!(text.unwrap().0, [("a".to_owned(), Some("é\n".to_owned()))]);
    let empty = format!(r#"{{"name":"{NAME}","payload":{{"dataCrc32c":"0"}}}}"#);
    assert_eq!(read(&empty, ValueFormat::Text).unwrap().0, [("a".to_owned(), Some(String::new()))]);
}

#[test]
fn the_checksum_is_crc32c() {
    // RFC 3720, appendix B.4: 32 bytes of zeroes, and of ones.
    assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
    assert_eq!(CRC32C.checksum(&[0xff; 32]), 0x62a8_ab43);
}

#[test]
fn each_malformed_response_has_its_class() {
    let data = br#"{"K":"v"}"#;
    for (body, expected) in [
        (version(NAME, data, Some("1")), SecretParseError::WrongChecksum),
        (version(NAME, data, Some("x")), SecretParseError::WrongChecksum),
        (version(NAME, data, Some("-1")), SecretParseError::WrongChecksum),
        (version(&NAME.replace("homelab__a", "homelab__b"), data, None), Unavailable.into()),
        (version(&NAME.replace("homelab__a", "Homelab__a"), data, None), Unavailable.into()),
        (version(&NAME.replace("/5", "/latest"), data, None), Unavailable.into()),
        (version(&NAME.replace("/5", "/"), data, None), Unavailable.into()),
        (version("homelab__a", data, None), Unavailable.into()),
        (version(NAME, b"hunter2", None), Misconfigured.into()),
        (version(NAME, &[0xff], None), Misconfigured.into()),
        (format!(r#"{{"name":"{NAME}","payload":{{"data":"%"}}}}"#), Unavailable.into()),
        (format!(r#"{{"name":"{NAME}","payload":{{"data":1}}}}"#), Unavailable.into()),
        (format!(r#"{{"name":"{NAME}"}}"#), Unavailable.into()),
        ("[]".into(), Unavailable.into()),
        ("<html>".into(), Unavailable.into()),
        (String::new(), Unavailable.into()),
    ] {
        assert_eq!(read(&body, ValueFormat::Object).unwrap_err(), expected, "{body}");
    }
    assert_eq!(read(&version(NAME, &[0xff], None), ValueFormat::Text), Err(Misconfigured.into()));
    assert_eq!(read(&version(NAME, b"a\0", None), ValueFormat::Text), Err(Misconfigured.into()));
}

#[test]
fn a_token_response_has_a_bearer_token_with_a_lifetime() {
    let ttl = |body: &str| parse_token(body.as_bytes()).map(|(_, ttl)| ttl.as_secs());
    let good = r#"{"access_token":"ya29.x","issued_token_type":"urn:x","token_type":"Bearer","expires_in":3599}"#;
    assert_eq!(ttl(good), Some(3599));
    for (from, to) in [
        ("3599", "0"),
        ("3599", "-1"),
        ("3599", "1.5"),
        ("3599", "\"3599\""),
        (",\"expires_in\":3599", ""),
        ("Bearer", "mac"),
        ("ya29.x", ""),
        ("ya29.x", "a\\nb"),
        ("\"ya29.x\"", "null"),
    ] {
        assert_eq!(ttl(&good.replace(from, to)), None, "{from} {to}");
    }
    let now = "2026-11-29T12:00:00Z".parse().unwrap();
    let ttl = |body: &str| parse_impersonation(body.as_bytes(), now).map(|(_, ttl)| ttl.as_secs());
    let good = r#"{"accessToken":"ya29.x","expireTime":"2026-11-29T13:00:00Z"}"#;
    assert_eq!(ttl(good), Some(3600));
    for (from, to) in [
        ("13:00", "12:00"),
        ("13:00", "11:00"),
        ("2026-11-29T13:00:00Z", "tomorrow"),
        ("ya29.x", ""),
        ("expireTime", "expires"),
    ] {
        assert_eq!(ttl(&good.replace(from, to)), None, "{from} {to}");
    }
}
