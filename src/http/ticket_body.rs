//! Parsers of a request for secrets: JSON or a form, both strict.

use super::percent::{self, Malformed};
use crate::wire::ticket::SecretsRequest;
use serde::de::DeserializeOwned;

pub(super) const UNKNOWN_FIELD: &str = "the form has an unknown field";

/// Serde's own message could quote the body, so it is not passed on.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, &'static str> {
    // Serde's derive would take `["repo", "branch"]` for an object with its fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is not one JSON object");
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            "the JSON object has an unknown or repeated field, or a value of another type than the API's"
        }
        _ => "the body is not one JSON object",
    })
}

/// Reads a form. A ticket request has no `format`: its reader checks that.
pub(super) fn form(body: &[u8]) -> Result<SecretsRequest, &'static str> {
    let decode = |text| {
        percent::decode(text).map_err(|Malformed| "the form is not percent-encoded UTF-8 (curl: --data-urlencode)")
    };
    let text = std::str::from_utf8(body).map_err(|_| "the form is not UTF-8")?;
    let mut request = SecretsRequest::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a form field has no value")?;
        let (name, value) = (decode(name)?, decode(value)?.into_owned());
        let repeated = match &*name {
            "repo" => request.repo.replace(value).is_some(),
            "branch" => request.branch.replace(value).is_some(),
            "ttl" => request.ttl.replace(value).is_some(),
            "keys" => request.keys.replace(value.split(',').map(str::to_owned).collect()).is_some(),
            "required" => {
                let required = value.parse().map_err(|_| "required must be true or false")?;
                request.required.replace(required).is_some()
            }
            "format" => request.format.replace(value).is_some(),
            _ => return Err(UNKNOWN_FIELD),
        };
        if repeated {
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
    fn both_formats_say_the_same() {
        let from_json =
            json(br#"{"repo":"a/b","branch":"f x","ttl":"90s","keys":["A","B"],"required":true}"#).expect("JSON");
        let from_form = form(b"repo=a%2Fb&branch=f+x&ttl=90s&keys=A,B&required=true").expect("a form");
        assert_eq!((from_json, None), from_form.into_parts());
        assert_eq!(json(b"{}"), Ok(TicketRequest::default()));
        let with_format: SecretsRequest = json(br#"{"repo":"a","format":"json"}"#).expect("JSON");
        assert_eq!(form(b"format=json&repo=a"), Ok(with_format));
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
            assert!(json::<TicketRequest>(body.as_bytes()).is_err(), "{body:.40} was taken");
            assert!(json::<SecretsRequest>(body.as_bytes()).is_err(), "{body:.40} was taken");
        }
        assert!(json::<TicketRequest>(b"{\"repo\":\"\xff\"}").is_err());
        assert!(json::<TicketRequest>(br#"{"format":"json"}"#).is_err(), "a ticket has no format");
        assert!(json::<SecretsRequest>(br#"{"format":null}"#).is_err());
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
            assert!(form(body.as_bytes()).is_err(), "{body} was taken");
        }
        assert!(form(b"repo=\xff").is_err());
        assert_eq!(form(b"").as_ref(), Ok(&SecretsRequest::default()));
        assert_eq!(form(b"branch=%25").expect("a form").branch.as_deref(), Some("%"));
    }
}
