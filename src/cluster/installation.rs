//! What an installation needs of a cluster: the broker's own rights, the API versions that are served, and the server's clock.

use super::client::Cluster;
use super::error::{CallFailure, ClusterError};
use super::exchange::{Answer, DEADLINE};
use super::review_request::review_request;
use http::{Request, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// The description of one API group version.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// A right that the broker may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OwnAccess<'a> {
    /// The API group.
    pub group: &'a str,
    /// The resource, in the plural.
    pub resource: &'a str,
    /// The subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subresource: Option<&'a str>,
    /// `get`, `list`, `create` and the like.
    pub verb: &'a str,
    /// One namespace; none for all of them, and for resources of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// One object; none for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

/// The API server's time.
#[derive(Debug, Clone, Copy)]
pub struct ServedTime {
    /// The time, with a resolution of one second.
    pub time: Timestamp,
    /// The duration of the call.
    pub within: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    resource_attributes: OwnAccess<'a>,
}

#[derive(Deserialize)]
struct ReviewResponse {
    status: SubjectAccessReviewStatus,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

impl Cluster {
    /// Whether the broker itself may do that (`SelfSubjectAccessReview`).
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn is_allowed(&self, access: OwnAccess<'_>) -> Result<bool, ClusterError> {
        let spec = Spec { resource_attributes: access };
        let request = review_request(REVIEWS, "authorization.k8s.io/v1", "SelfSubjectAccessReview", spec)?;
        let answer = self.ask(request).await?;
        if !answer.status.is_success() {
            return Err(answer.unexpected_status().into());
        }
        let reviewed: ReviewResponse = answer.decode()?;
        Ok(reviewed.status.allowed && reviewed.status.denied != Some(true))
    }

    /// The versions of an API group that are served. Empty: the group is not served.
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn served_versions(&self, group: &str) -> Result<Vec<String>, ClusterError> {
        let answer = self.ask(get(&format!("/apis/{group}"))?).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.decode::<Group>()?.versions.into_iter().map(|one| one.version).collect()),
            StatusCode::NOT_FOUND => Ok(Vec::new()),
            _ => Err(answer.unexpected_status().into()),
        }
    }

    /// The `OpenAPI` description of a group version. None: it is not served.
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn description(&self, group_version: &str) -> Result<Option<Value>, ClusterError> {
        let answer = self.ask(get(&format!("/openapi/v3/apis/{group_version}"))?).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.decode()?)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.unexpected_status().into()),
        }
    }

    /// The API server's time. None: it does not tell it.
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn served_time(&self) -> Result<Option<ServedTime>, ClusterError> {
        let began = Instant::now();
        let answer = self.ask(get("/version")?).await?;
        Ok(answer.date.map(|time| ServedTime { time, within: began.elapsed() }))
    }

    async fn ask(&self, request: Request<Vec<u8>>) -> Result<Answer, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        let _slot = self.reads.enter(deadline).await?;
        Ok(self.exchange(request, MAX_ANSWER_BYTES, deadline).await?)
    }
}

fn get(path: &str) -> Result<Request<Vec<u8>>, CallFailure> {
    Request::get(path).body(Vec::new()).map_err(|_| CallFailure::Malformed)
}
