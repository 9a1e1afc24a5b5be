//! The failure that an error of AWS's SDK means.

use super::responses::refusal;
use crate::stores::calls::CallError;
use crate::stores::outbound::TransportError;
use crate::stores::port::ReadError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as _;
use std::time::Duration;

/// The meaning of an error of the SDK. Its message is never shown: it may contain the name of a secret.
pub(super) fn sdk_failure<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> CallError {
    match error {
        SdkError::ServiceError(told) => {
            let (error, raw) = (told.err(), told.raw());
            let wait = raw.headers().get("retry-after").and_then(|text| text.parse().ok());
            let status = raw.status().as_u16();
            let meaning = refusal(status, error.code(), error.message());
            CallError::from_response(status, meaning, wait.map(Duration::from_secs))
        }
        SdkError::ResponseError(told) => match told.raw().status().as_u16() {
            200 => CallError::malformed(ReadError::Unavailable),
            status => CallError::from_response(status, refusal(status, None, None), None),
        },
        SdkError::DispatchFailure(failure) => {
            let source = failure.as_connector_error().and_then(|error| error.source());
            CallError::no_response(
                source.and_then(|source| source.downcast_ref()).copied().unwrap_or(TransportError::Broken),
            )
        }
        SdkError::TimeoutError(_) => CallError::no_response(TransportError::Timeout),
        // The request could not be built or signed.
        _ => CallError::not_sent(),
    }
}
