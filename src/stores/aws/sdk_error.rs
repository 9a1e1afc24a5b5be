//! Converts errors of AWS's SDK.

use super::responses::classify_error;
use crate::stores::outbound::TransportError;
use crate::stores::port::ReadError;
use crate::stores::server_calls::CallError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as _;
use std::time::Duration;

/// Converts an error of the SDK. The message is never shown, because it may contain the name of a secret.
pub(super) fn convert_sdk_error<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> CallError {
    match error {
        SdkError::ServiceError(service_error) => {
            let (error, raw) = (service_error.err(), service_error.raw());
            let wait = raw.headers().get("retry-after").and_then(|text| text.parse().ok());
            let status = raw.status().as_u16();
            let meaning = classify_error(status, error.code(), error.message());
            CallError::from_response(status, meaning, wait.map(Duration::from_secs))
        }
        SdkError::ResponseError(response_error) => match response_error.raw().status().as_u16() {
            200 => CallError::unusable(ReadError::Unavailable),
            status => CallError::from_response(status, classify_error(status, None, None), None),
        },
        SdkError::DispatchFailure(dispatch_failure) => {
            let source = dispatch_failure.as_connector_error().and_then(|error| error.source());
            CallError::no_response(
                source.and_then(|source| source.downcast_ref()).copied().unwrap_or(TransportError::Broken),
            )
        }
        SdkError::TimeoutError(_) => CallError::no_response(TransportError::Timeout),
        // The request could not be built or signed.
        _ => CallError::not_sent(ReadError::Misconfigured),
    }
}
