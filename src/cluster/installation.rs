//! Calls that check an installation: the broker's own rights, the API versions that the API server serves, the issuer of its
//! tokens, and its clock.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::http_exchange::get;
use super::review_request::{decode_review, review_request};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// Maximum size of a response. It is sufficient for the `OpenAPI` document of one API group version.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// The path of the OIDC discovery document.
const DISCOVERY: &str = "/.well-known/openid-configuration";
const MAX_DISCOVERY_BYTES: usize = 64 << 10;

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
    /// `None` for all namespaces, and for cluster-scoped resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// `None` for all objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

/// The API server's time.
#[derive(Debug, Clone, Copy)]
pub struct ApiServerTime {
    /// The time, with a resolution of one second.
    pub time: Timestamp,
    /// The duration of the call, which limits the precision of the time.
    pub round_trip: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    resource_attributes: OwnAccess<'a>,
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

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl Cluster {
    /// Whether the broker itself has a right (`SelfSubjectAccessReview`).
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn is_allowed(&self, access: OwnAccess<'_>) -> Result<bool, CallFailure> {
        let spec = Spec { resource_attributes: access };
        let request = review_request(REVIEWS, "authorization.k8s.io/v1", "SelfSubjectAccessReview", spec)?;
        let response = self.call(request, MAX_RESPONSE_BYTES).await?;
        let status: SubjectAccessReviewStatus = decode_review(&response, "SelfSubjectAccessReview")?;
        Ok(status.allowed && status.denied != Some(true))
    }

    /// The served versions of an API group. Empty if the group is not served.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn served_versions(&self, group: &str) -> Result<Vec<String>, CallFailure> {
        let response = self.call(get(format!("/apis/{group}"))?, MAX_RESPONSE_BYTES).await?;
        let group: Option<Group> = response.decode_found()?;
        Ok(group.into_iter().flat_map(|group| group.versions).map(|version| version.version).collect())
    }

    /// The `OpenAPI` document of a group version. `None` if the version is not served.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn openapi_document(&self, group_version: &str) -> Result<Option<Value>, CallFailure> {
        let request = get(format!("/openapi/v3/apis/{group_version}"))?;
        self.call(request, MAX_RESPONSE_BYTES).await?.decode_found()
    }

    /// The API server's time. `None` if its response has no `Date`.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn api_server_time(&self) -> Result<Option<ApiServerTime>, CallFailure> {
        let started_at = Instant::now();
        let response = self.call(get("/version")?, MAX_RESPONSE_BYTES).await?;
        Ok(response.date.map(|time| ApiServerTime { time, round_trip: started_at.elapsed() }))
    }

    /// The `iss` of new tokens of this cluster. By default, the role `system:service-account-issuer-discovery` allows every
    /// ServiceAccount to read the issuer.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn issuer(&self) -> Result<String, CallFailure> {
        let response = self.call(get(DISCOVERY)?, MAX_DISCOVERY_BYTES).await?;
        let discovery: Option<Discovery> = response.decode_found()?;
        Ok(discovery.ok_or(CallFailure::Status)?.issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake_api_server::FakeApiServer;

    #[tokio::test]
    async fn a_right_is_one_that_a_review_allows_and_does_not_deny() {
        let review = |kind: &str, status: &str| format!(r#"{{"kind":"{kind}","status":{status}}}"#);
        let own = "SelfSubjectAccessReview";
        for (body, expected) in [
            (review(own, r#"{"allowed":true}"#), Ok(true)),
            (review(own, r#"{"allowed":false}"#), Ok(false)),
            (review(own, r#"{"allowed":true,"denied":true}"#), Ok(false)),
            (review("SubjectAccessReview", r#"{"allowed":true}"#), Err(CallFailure::Malformed)),
        ] {
            let cluster = FakeApiServer::responding(201, &body).await.cluster().await;
            let access =
                OwnAccess { group: "", resource: "pods", subresource: None, verb: "get", namespace: None, name: None };
            assert_eq!(cluster.is_allowed(access).await, expected, "{body}");
        }
    }

    async fn issuer(status: u16, body: &str) -> Result<String, CallFailure> {
        FakeApiServer::responding(status, body).await.cluster().await.issuer().await
    }

    #[tokio::test]
    async fn the_issuer_is_read_only_from_a_valid_document() {
        let document = r#"{"issuer":"https://own","jwks_uri":"https://own/keys"}"#;
        assert_eq!(issuer(200, document).await.as_deref(), Ok("https://own"));
        for (status, body) in [(403, document), (404, document), (200, "{}"), (200, "[]"), (200, r#"{"issuer":1}"#)] {
            assert!(issuer(status, body).await.is_err(), "{status} {body}");
        }
    }
}
