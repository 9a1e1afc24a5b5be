//! The extractor of the administrator who sends a request.

use super::edge::Edge;
use super::responses::ApiError;
use super::{bearer, observe};
use crate::broker::Administrator;
use axum::extract::FromRequestParts;
use http::request::Parts;

/// Authenticates the bearer token. The verb of the broker authorises the action.
impl FromRequestParts<Edge> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        let context = observe::context(parts)?;
        let applicant = edge.broker.authenticate_applicant(bearer::token(&parts.headers).as_ref(), &context).await?;
        Ok(Self { applicant, context })
    }
}
