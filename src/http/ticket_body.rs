//! Strict parsers of the body of a request for secrets, as JSON or as a form.

use super::percent_decoding::{self, DecodeError};
use crate::wire::ticket::SecretsRequest;
use serde::de::DeserializeOwned;

pub(super) const UNKNOWN_FIELD_DETAIL: &str = "the form has an unknown field";

/// Parses a JSON object. The error is a fixed text, because Serde's message could quote the body.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, &'static str> {
    // Serde's derive also accepts an array: `["repo", "branch"]`, the fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is not one JSON object");
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            "the JSON object has an unknown or repeated field, or a value of the wrong type"
        }
        _ => "the body is not one JSON object",
    })
}

/// Parses a form. It may have a `format`, which `bundle_request` refuses in a request for a ticket.
pub(super) fn parse_form(body: &[u8]) -> Result<SecretsRequest, &'static str> {
    let decode = |text| {
        percent_decoding::decode(text)
            .map_err(|DecodeError| "the form is not percent-encoded UTF-8 (curl: --data-urlencode)")
    };
    let text = std::str::from_utf8(body).map_err(|_| "the form is not UTF-8")?;
    let mut request = SecretsRequest::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a form field has no value")?;
        let (name, value) = (decode(name)?, decode(value)?.into_owned());
        let is_repeated = match &*name {
            "repo" => request.repo.replace(value).is_some(),
            "branch" => request.branch.replace(value).is_some(),
            "ttl" => request.ttl.replace(value).is_some(),
            "keys" => request.keys.replace(value.split(',').map(str::to_owned).collect()).is_some(),
            "required" => {
                let required = value.parse().map_err(|_| "required must be true or false")?;
                request.required.replace(required).is_some()
            }
            "format" => request.format.replace(value).is_some(),
            _ => return Err(UNKNOWN_FIELD_DETAIL),
        };
        if is_repeated {
            return Err("the form repeats a field");
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ticket::TicketRequest;

    #[test]
    fn json_and_form_are_parsed_alike() {
        let from_json =
            parse_json(br#"{"repo":"a/b","branch":"f x","ttl":"90s","keys":["A","B"],"required":true}"#).expect("JSON");
        let from_form = parse_form(b"repo=a%2Fb&branch=f+x&ttl=90s&keys=A,B&required=true").expect("a form");
        assert_eq!((from_json, None), from_form.into_parts());
        assert_eq!(parse_json(b"{}"), Ok(TicketRequest::default()));
        let with_format: SecretsRequest = parse_json(br#"{"repo":"a","format":"json"}"#).expect("JSON");
        assert_eq!(parse_form(b"format=json&repo=a"), Ok(with_format));
    }

    #[test]
    fn json_is_strict() {
        let deep = "[".repeat(10_000);
        for body in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{",
            "{}{}",
            "{} x",
            r#"{"repo":null}"#,
            r#"{"repo":1}"#,
            r#"{"repo":["a"]}"#,
            r#"{"branch":{}}"#,
            r#"{"repo":"a","repo":"a"}"#,
            r#"{"bogus":1}"#,
            r#"{"required":"true"}"#,
            r#"{"required":1}"#,
            r#"{"keys":"A"}"#,
            r#"{"keys":[1]}"#,
            r#"{"ttl":60}"#,
            r#"{"ttl":1e400}"#,
            r#"{"repo":"\ud800"}"#,
            deep.as_str(),
        ] {
            assert!(parse_json::<TicketRequest>(body.as_bytes()).is_err(), "{body:.40} was accepted");
            assert!(parse_json::<SecretsRequest>(body.as_bytes()).is_err(), "{body:.40} was accepted");
        }
        assert!(parse_json::<TicketRequest>(b"{\"repo\":\"\xff\"}").is_err());
        assert!(parse_json::<TicketRequest>(br#"{"format":"json"}"#).is_err(), "a ticket has no format");
        assert!(parse_json::<SecretsRequest>(br#"{"format":null}"#).is_err());
    }

    #[test]
    fn forms_are_strict() {
        for body in [
            "repo=a&repo=a",
            "format=json&format=json",
            "bogus=1",
            "repo",
            "required=yes",
            "required=",
            "branch=%",
            "branch=%2",
            "branch=%zz",
            "branch=%ff",
            "branch=100%",
        ] {
            assert!(parse_form(body.as_bytes()).is_err(), "{body} was accepted");
        }
        assert!(parse_form(b"repo=\xff").is_err());
        assert_eq!(parse_form(b"").as_ref(), Ok(&SecretsRequest::default()));
        assert_eq!(parse_form(b"branch=%25").expect("a form").branch.as_deref(), Some("%"));
    }
}
