//! Translates the errors of the native API to those of Vault: the status, and the texts in `{"errors":[...]}`.

use super::bundle_name::PATH_FORMAT;
use super::responses::json;
use crate::broker;
use crate::wire::problem::Code;
use crate::wire::shell_safe_json;
use crate::wire::vault::VaultErrors;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::borrow::Cow;

/// Details of refused requests.
pub const READ_ONLY_DETAIL: &str =
    "this API is read-only; of the mount only the bundles below data/ are served, by GET";
pub const KV_VERSION_2_DETAIL: &str = "the mount is KV version 2: bundles are read below data/";
pub const NOT_SERVED_DETAIL: &str = "Claviger does not serve this path of Vault's API";

/// A refused request.
#[derive(Debug)]
pub struct Refusal {
    code: Code,
    detail: Option<Cow<'static, str>>,
    allow: Option<&'static str>,
}

/// The request is malformed.
pub fn invalid(detail: &'static str) -> Refusal {
    Refusal { code: Code::InvalidRequest, detail: Some(detail.into()), allow: None }
}

/// The request is for something that no caller may do.
pub fn denied(detail: &'static str) -> Refusal {
    Refusal { code: Code::Denied, detail: Some(detail.into()), allow: None }
}

/// The path supports only the methods in `allow`.
pub fn method_not_allowed(allow: &'static str) -> Refusal {
    Refusal { code: Code::MethodNotAllowed, detail: None, allow: Some(allow) }
}

/// The response to an allowed read that found no secrets: `404`, as from Vault.
pub fn no_secrets() -> Response {
    error_response(StatusCode::NOT_FOUND, Vec::new())
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, detail: None, allow: None }
    }
}

impl From<broker::Error> for Refusal {
    fn from(error: broker::Error) -> Self {
        let code = error.code();
        let detail = error.detail().map(|detail| match code {
            Code::InvalidRepo | Code::InvalidBranch => format!("{detail}; {PATH_FORMAT}"),
            _ => detail,
        });
        Self { code, detail: detail.map(Into::into), allow: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = error_response(status(self.code), error_texts(self.code, self.detail));
        // The code is read by metrics and spans.
        response.extensions_mut().insert(self.code);
        let headers = response.headers_mut();
        if let Some(seconds) = self.code.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        // The body of the request may be unread, so the connection cannot be used for another request. While draining, a new
        // connection reaches another replica.
        if matches!(self.code, Code::Draining | Code::PayloadTooLarge | Code::RequestTimeout) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Translates an error response of the native API's layers or routes into Vault's form. Returns any other response unchanged.
pub fn into_vault_error(response: Response) -> Response {
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let Some(code) = response.extensions().get::<Code>().copied().filter(|_| is_problem) else { return response };
    let mut translated = Refusal::from(code).into_response();
    if let Some(connection) = response.headers().get(CONNECTION) {
        translated.headers_mut().insert(CONNECTION, connection.clone());
    }
    translated
}

/// The status of a code in this API. It avoids `401` and `422`, which Vault's clients do not handle.
fn status(code: Code) -> StatusCode {
    let status = match code {
        Code::Unauthenticated => 403,
        Code::InvalidRepo | Code::InvalidBranch | Code::InvalidPolicy | Code::Unrenderable => 400,
        other => other.status(),
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A `404` has no text, a `400` has a sentence, and the text of any other status begins with the error code.
fn error_texts(code: Code, detail: Option<Cow<'static, str>>) -> Vec<String> {
    let sentence = detail.unwrap_or(Cow::Borrowed(code.title()));
    match status(code).as_u16() {
        404 => Vec::new(),
        400 => vec![sentence.into_owned()],
        _ => vec![format!("{}: {sentence}", code.as_str())],
    }
}

fn error_response(status: StatusCode, errors: Vec<String>) -> Response {
    let body = shell_safe_json::to_string(&VaultErrors { errors }).unwrap_or_default() + "\n";
    let mut response = json(Body::from(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_texts_as_in_vault() {
        for code in Code::ALL.iter().copied() {
            let (status, texts) = (status(code).as_u16(), error_texts(code, None));
            assert!(!matches!(status, 200..=399 | 401 | 422), "{code:?}");
            match status {
                404 => assert!(texts.is_empty()),
                400 => assert_eq!(texts, [code.title()]),
                _ => assert_eq!(texts, [format!("{}: {}", code.as_str(), code.title())]),
            }
        }
        let assert_translated = |code, expected: u16, texts: &[&str]| {
            assert_eq!(
                (status(code).as_u16(), error_texts(code, None)),
                (expected, texts.iter().map(|t| (*t).to_owned()).collect())
            );
        };
        assert_translated(Code::Unauthenticated, 403, &["unauthenticated: The bearer token is missing or not valid."]);
        assert_translated(Code::Denied, 403, &["denied: The request is not allowed."]);
        assert_translated(Code::SecretNotFound, 404, &[]);
        assert_translated(Code::InvalidRepo, 400, &["The repository name is invalid."]);
        assert_translated(Code::StoreUnavailable, 503, &["store_unavailable: A store is unavailable."]);
        assert_translated(
            Code::StoreMisconfigured,
            502,
            &["store_misconfigured: The path does not lead to a readable secret engine of the store."],
        );
        assert_translated(Code::RateLimited, 429, &["rate_limited: Too many requests."]);
    }
}
