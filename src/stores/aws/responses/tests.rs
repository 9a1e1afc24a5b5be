//! The meaning of responses. Those marked "seen" were sent by moto, a simulator of AWS. The others are from AWS's documentation or
//! invented.

use super::*;
use crate::model::secret::SecretValue;
use ReadError::{Absent, Deleted, Forbidden, Misconfigured, Unavailable};

#[test]
fn only_one_code_means_absent_and_an_unknown_code_follows_the_status() {
    for (status, code, expected) in [
        (400, "ResourceNotFoundException", Absent),
        (404, "ResourceNotFoundException", Absent), // seen
        (400, "resourcenotfoundexception", Unavailable),
        (200, "ResourceNotFoundException", Unavailable),
        (302, "ResourceNotFoundException", Unavailable),
        (500, "ResourceNotFoundException", Unavailable),
        (404, "UnknownOperationException", Unavailable),
        (400, "InvalidParameterException", Misconfigured),
        (400, "ValidationException", Misconfigured),
        (400, "DecryptionFailure", Misconfigured),
        (400, "AccessDeniedException", Forbidden),
        (403, "AccessDenied", Forbidden),
        (400, "UnrecognizedClientException", Forbidden),
        (400, "InvalidSignatureException", Forbidden),
        (403, "SignatureDoesNotMatch", Forbidden),
        (403, "InvalidClientTokenId", Forbidden),
        (400, "ExpiredTokenException", Forbidden),
        (400, "InvalidIdentityToken", Forbidden),
        (400, "IDPCommunicationError", Unavailable),
        (400, "ThrottlingException", Unavailable),
        (400, "LimitExceededException", Unavailable),
        (500, "InternalServiceError", Unavailable),
        (500, "InternalServiceErrorException", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (403, "SomethingNew", Forbidden),
        (401, "", Forbidden),
        (403, "", Forbidden),
        (400, "SomethingNew", Unavailable),
        (404, "", Unavailable),
        (418, "", Unavailable),
        (429, "", Unavailable),
        (500, "AccessDeniedException", Unavailable),
    ] {
        let code = (!code.is_empty()).then_some(code);
        assert_eq!(classify_error(status, code, None).error, expected, "{status} {code:?}");
    }
}

#[test]
fn codes_about_credentials_make_them_suspect() {
    for (status, code, suspect) in [
        (400, Some("UnrecognizedClientException"), true),
        (400, Some("ExpiredTokenException"), true),
        (403, Some("SignatureDoesNotMatch"), true),
        (403, None, true),
        (400, Some("AccessDeniedException"), false),
        (400, Some("ResourceNotFoundException"), false),
        (503, None, false),
    ] {
        assert_eq!(classify_error(status, code, None).credentials_suspect, suspect, "{status} {code:?}");
    }
}

#[test]
fn a_secret_marked_for_deletion_is_recognised_by_the_message() {
    for (message, expected) in [
        ("You can't perform this operation on the secret because it was marked for deletion.", Deleted),
        ("The secret is scheduled for deletion.", Deleted),
        ("You tried to perform the operation on a secret that's currently marked deleted.", Deleted), // seen
        (
            "You can't access a secret from a different AWS account if you encrypt it with the default key.",
            Misconfigured,
        ),
        ("The secret is managed by another service.", Misconfigured),
        ("", Misconfigured),
    ] {
        assert_eq!(classify_error(400, Some("InvalidRequestException"), Some(message)).error, expected, "{message}");
    }
    assert_eq!(classify_error(500, Some("InvalidRequestException"), Some("marked for deletion")).error, Unavailable);
}

fn body(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    format!(r#"{{"ARN":"arn:x","Name":"a/b","VersionId":"v1","SecretString":{quoted},"CreatedDate":1.5}}"#)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test compares the values")]
fn a_secret_is_a_json_object_and_numbers_keep_their_digits() {
    let read = parse_secret(body(r#" {"K":"a\nb","N":1.50,"Z":null,"O":{"b":[1.0, 2]}} "#).as_bytes(), "a/b").unwrap();
    let text = |key: &str| read.data[key].as_ref().map(SecretValue::expose_secret);
    assert_eq!(
        [text("K"), text("N"), text("Z"), text("O")],
        [Some("a\nb"), Some("1.50"), None, Some(r#"{"b":[1.0,2]}"#)]
    );
    assert_eq!((read.version.as_deref(), read.stale), (Some("v1"), false));
}

#[test]
fn a_secret_of_another_shape_is_misconfigured() {
    let deep = format!(r#"{{"K":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    for text in
        ["hunter2", "", "\"hunter2\"", "12", "[]", "null", "{", r#"{"K":1,"K":2}"#, r#"{"K":"\ud800"}"#, "{}{}", &deep]
    {
        assert_eq!(parse_secret(body(text).as_bytes(), "a/b"), Err(Misconfigured), "{text}");
    }
    assert_eq!(parse_secret(br#"{"Name":"a/b","SecretBinary":"AAAA"}"#, "a/b"), Err(Misconfigured));
    assert!(parse_secret(body("{}").as_bytes(), "a/b").is_ok_and(|read| read.data.is_empty()));
}

#[test]
fn malformed_responses_and_those_of_other_secrets_are_unavailable() {
    assert_eq!(parse_secret(body("{}").as_bytes(), "a/c"), Err(Unavailable));
    for body in [
        "",
        "{}",
        "[]",
        "<html>",
        r#"{"Name":"a/b"}"#,
        r#"{"SecretString":"{}"}"#,
        r#"{"Name":"a/b","SecretString":null}"#,
        r#"{"Name":"a/b","SecretString":{}}"#,
        r#"{"Name":"a/b","SecretString":"\ud800"}"#,
        r#"{"Name":"a/b","SecretString":"{}","SecretBinary":"AAAA"}"#,
        r#"{"Name":"a/b","SecretString":"{}""#,
    ] {
        assert_eq!(parse_secret(body.as_bytes(), "a/b"), Err(Unavailable), "{body}");
    }
}
