//! The body of a request for secrets: JSON or a form, strict and bounded.

use super::{Edge, body};
use crate::broker::Error;
use crate::wire::problem::Code;
use crate::wire::ticket::TicketRequest;
use axum::body::Body;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Reads a body of at most [`Edge::body_bytes`] within [`Edge::body_timeout`].
pub async fn read(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<TicketRequest, Error> {
    let parse: Parser = match body::media_type(headers).as_deref() {
        Some("application/json") => json,
        Some("application/x-www-form-urlencoded") => form,
        _ => return Err(Code::UnsupportedMediaType.into()),
    };
    let bytes = body::read(edge, headers, body).await?;
    parse(&bytes).map_err(Error::InvalidRequest)
}

type Parser = fn(&[u8]) -> Result<TicketRequest, &'static str>;

/// Serde's own message could quote the body, so it is not passed on.
fn json(body: &[u8]) -> Result<TicketRequest, &'static str> {
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

fn form(body: &[u8]) -> Result<TicketRequest, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "the form is not UTF-8")?;
    let mut request = TicketRequest::default();
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
            _ => return Err("the form has an unknown field"),
        };
        if repeated {
            return Err("the form repeats a field");
        }
    }
    Ok(request)
}

/// Strict: a stray `%` or bytes that are no UTF-8 would otherwise become another branch than the one meant.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    const HINT: &str = "the form is not percent-encoded UTF-8 (curl: --data-urlencode)";
    let mut escapes = text.split('%');
    escapes.next();
    let is_hex = |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !escapes.all(is_hex) {
        return Err(HINT);
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(|_| HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_say_the_same() {
        let from_json =
            json(br#"{"repo":"a/b","branch":"f x","ttl":"90s","keys":["A","B"],"required":true}"#).expect("JSON");
        let from_form = form(b"repo=a%2Fb&branch=f+x&ttl=90s&keys=A,B&required=true").expect("a form");
        assert_eq!(from_json, from_form);
        assert_eq!(json(b"{}"), Ok(TicketRequest::default()));
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
            assert!(json(body.as_bytes()).is_err(), "{body:.40} was taken");
        }
        assert!(json(b"{\"repo\":\"\xff\"}").is_err());
    }

    #[test]
    fn forms_are_strict() {
        for body in [
            "repo=a&repo=a",
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
        assert_eq!(form(b"").as_ref(), Ok(&TicketRequest::default()));
        assert_eq!(form(b"branch=%25").expect("a form").branch.as_deref(), Some("%"));
    }
}
