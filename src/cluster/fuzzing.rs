//! Entry points for fuzz targets, which parse responses of the API server.

use super::call_failure::CallFailure;
use super::http_exchange::ApiResponse;
use super::object;
use super::tekton::{self, PipelineRun, TaskRun};
use super::token_review::{self, Review};
use http::StatusCode;

const TEKTON_API_PATH: &str = "/apis/tekton.dev/v1";

fn response(status: u16, body: &[u8]) -> ApiResponse {
    ApiResponse {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT),
        date: None,
        body: body.to_vec(),
    }
}

/// Parses the response to a `TokenReview`.
///
/// # Errors
/// See [`CallFailure`].
pub fn token_review(status: u16, body: &[u8]) -> Result<Review, CallFailure> {
    token_review::parse_review(&response(status, body))
}

/// Parses the response to the GET of a `TaskRun`.
///
/// # Errors
/// See [`CallFailure`].
pub fn task_run(status: u16, body: &[u8]) -> Result<Option<TaskRun>, CallFailure> {
    Ok(object::parse_object(&response(status, body), TEKTON_API_PATH, "TaskRun")?
        .map(|object| tekton::to_task_run("run", object)))
}

/// Parses the response to the GET of a `PipelineRun`.
///
/// # Errors
/// See [`CallFailure`].
pub fn pipeline_run(status: u16, body: &[u8]) -> Result<Option<PipelineRun>, CallFailure> {
    Ok(object::parse_object(&response(status, body), TEKTON_API_PATH, "PipelineRun")?
        .map(|object| tekton::to_pipeline_run("run", object)))
}
