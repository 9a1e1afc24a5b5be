//! The extractor of the administrator who sends a request.

use super::responses::ApiError;
use super::state::HttpState;
use super::{bearer, observe};
use crate::broker::Administrator;
use axum::extract::FromRequestParts;
use http::request::Parts;

/// Authenticates the bearer token. The verb of the broker authorises the action.
impl FromRequestParts<HttpState> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let context = observe::context(parts)?;
        let applicant = state.broker.authenticate_applicant(bearer::token(&parts.headers).as_ref(), &context).await?;
        Ok(Self { applicant, context })
    }
}
