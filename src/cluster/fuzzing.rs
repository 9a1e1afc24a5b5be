//! Entry points for fuzz targets, which parse responses of the API server.

use super::error::ClusterError;
use super::exchange::Answer;
use super::object;
use super::tekton::{self, PipelineRun, TaskRun};
use super::token_review::{self, Review};
use http::StatusCode;

const TEKTON: &str = "/apis/tekton.dev/v1";

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer { status: StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT), date: None, body: body.to_vec() }
}

/// Parses the answer to a `TokenReview`.
///
/// # Errors
/// See [`ClusterError`].
pub fn token_review(status: u16, body: &[u8]) -> Result<Review, ClusterError> {
    token_review::read(&answer(status, body))
}

/// Parses the answer to the GET of a `TaskRun`.
///
/// # Errors
/// See [`ClusterError`].
pub fn task_run(status: u16, body: &[u8]) -> Result<Option<TaskRun>, ClusterError> {
    Ok(object::read(&answer(status, body), TEKTON, "TaskRun")?.map(|object| tekton::task_run("run", object)))
}

/// Parses the answer to the GET of a `PipelineRun`.
///
/// # Errors
/// See [`ClusterError`].
pub fn pipeline_run(status: u16, body: &[u8]) -> Result<Option<PipelineRun>, ClusterError> {
    Ok(object::read(&answer(status, body), TEKTON, "PipelineRun")?.map(|object| tekton::pipeline_run("run", object)))
}
