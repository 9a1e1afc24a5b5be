//! The administrator of a request, as an extractor.

use super::answer::Failure;
use super::edge::Edge;
use super::{bearer, observe};
use crate::broker::Administrator;
use axum::extract::FromRequestParts;
use http::request::Parts;

/// Authenticates the bearer token. Each verb authorises its own action.
impl FromRequestParts<Edge> for Administrator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Failure> {
        let context = observe::context(parts)?;
        let applicant = edge.broker.authenticate_applicant(bearer::of(&parts.headers).as_ref(), &context).await?;
        Ok(Self { applicant, context })
    }
}
