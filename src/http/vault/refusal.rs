//! The table that translates our errors to Vault's: statuses, and the texts in `{"errors":[...]}`.

use super::answer::json;
use super::bundle_name::SPELLING;
use crate::broker;
use crate::wire::inert_json;
use crate::wire::problem::Code;
use crate::wire::vault::VaultErrors;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::borrow::Cow;

pub const READ_ONLY: &str = "this API is read-only; of the mount only the bundles below data/ are served, by GET";
pub const VERSION_2: &str = "the mount is KV version 2: bundles are read below data/";
pub const NOT_SERVED: &str = "Claviger does not serve this path of Vault's API";

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

/// The request is for something that nobody is allowed.
pub fn denied(detail: &'static str) -> Refusal {
    Refusal { code: Code::Denied, detail: Some(detail.into()), allow: None }
}

/// The path supports other methods.
pub fn method_not_allowed(allow: &'static str) -> Refusal {
    Refusal { code: Code::MethodNotAllowed, detail: None, allow: Some(allow) }
}

/// The answer to an allowed read that found no secrets.
pub fn no_secrets() -> Response {
    answer(StatusCode::NOT_FOUND, Vec::new())
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
            Code::InvalidRepo | Code::InvalidBranch => format!("{detail}; {SPELLING}"),
            _ => detail,
        });
        Self { code, detail: detail.map(Into::into), allow: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(status(self.code), texts(self.code, self.detail));
        // For the metrics of errors.
        response.extensions_mut().insert(self.code);
        let headers = response.headers_mut();
        if let Some(seconds) = self.code.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        // The body is unread.
        if matches!(self.code, Code::Draining | Code::PayloadTooLarge | Code::RequestTimeout) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Translates an answer of the native API's layers into Vault's form.
pub fn into_vault_error(response: Response) -> Response {
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let Some(code) = response.extensions().get::<Code>().copied().filter(|_| is_problem) else { return response };
    let mut translated = Refusal::from(code).into_response();
    if let Some(connection) = response.headers().get(CONNECTION) {
        translated.headers_mut().insert(CONNECTION, connection.clone());
    }
    translated
}

/// Vault's clients do not handle `401` and `422`.
fn status(code: Code) -> StatusCode {
    let status = match code {
        Code::Unauthenticated => 403,
        Code::InvalidRepo | Code::InvalidBranch | Code::InvalidPolicy | Code::Unrenderable => 400,
        other => other.status(),
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A `404` has no text, a `400` has a plain sentence, any other error begins with the error code.
fn texts(code: Code, detail: Option<Cow<'static, str>>) -> Vec<String> {
    let sentence = detail.unwrap_or(Cow::Borrowed(code.title()));
    match status(code).as_u16() {
        404 => Vec::new(),
        400 => vec![sentence.into_owned()],
        _ => vec![format!("{}: {sentence}", code.as_str())],
    }
}

fn answer(status: StatusCode, errors: Vec<String>) -> Response {
    let body = inert_json::to_string(&VaultErrors { errors }).unwrap_or_default() + "\n";
    let mut response = json(Body::from(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_texts_of_vaults() {
        for code in Code::ALL.iter().copied() {
            let (status, texts) = (status(code).as_u16(), texts(code, None));
            assert!(!matches!(status, 200..=399 | 401 | 422), "{code:?}");
            match status {
                404 => assert!(texts.is_empty()),
                400 => assert_eq!(texts, [code.title()]),
                _ => assert_eq!(texts, [format!("{}: {}", code.as_str(), code.title())]),
            }
        }
        let told = |code, expected: u16, text: &[&str]| {
            assert_eq!(
                (status(code).as_u16(), texts(code, None)),
                (expected, text.iter().map(|t| (*t).to_owned()).collect())
            );
        };
        told(Code::Unauthenticated, 403, &["unauthenticated: The bearer token is missing or not valid."]);
        told(Code::Denied, 403, &["denied: The request is not allowed."]);
        told(Code::SecretNotFound, 404, &[]);
        told(Code::InvalidRepo, 400, &["The repository name is invalid."]);
        told(Code::StoreUnavailable, 503, &["store_unavailable: A store is unavailable."]);
        told(
            Code::StoreMisconfigured,
            502,
            &["store_misconfigured: The path does not lead to a readable secret engine of the store."],
        );
        told(Code::RateLimited, 429, &["rate_limited: Too many requests."]);
    }
}
