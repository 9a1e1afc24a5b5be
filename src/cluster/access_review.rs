//! `SubjectAccessReview`: asks the API server whether a user may perform an action.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::review_request::{decode_review, review_request};
use crate::model::applicant::ReviewedUser;
use http::Request;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use serde::Serialize;
use std::collections::BTreeMap;

const PATH: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// Maximum size of a response, which repeats the request with the user's groups and extra fields, and adds a reason.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// The action that is reviewed: `resourceAttributes` of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ResourceAttributes<'a> {
    /// The API group.
    pub group: &'a str,
    /// The resource, in the plural.
    pub resource: &'a str,
    /// The verb: `get`, `list`, `create`, `update` or `delete`.
    pub verb: &'a str,
    /// The name of one object, or `None` for all objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

/// The decision of the API server's authorizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessDecision {
    /// An authorizer allowed the action.
    Allowed,
    /// An authorizer denied the action.
    Denied,
    /// No authorizer had an opinion, or one failed. Callers treat this as denied.
    NoOpinion,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    user: &'a str,
    uid: &'a str,
    groups: &'a [String],
    extra: &'a BTreeMap<String, Vec<String>>,
    resource_attributes: ResourceAttributes<'a>,
}

impl Cluster {
    /// Asks whether a user may perform an action.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn access_review(
        &self,
        user: &ReviewedUser,
        action: ResourceAttributes<'_>,
    ) -> Result<AccessDecision, CallFailure> {
        // Does not use the limit of TokenReviews, because forged tokens may exhaust the limit of reviews, and this user is already
        // authenticated.
        let response = self.call(request(user, action)?, MAX_RESPONSE_BYTES).await?;
        Ok(decision(&decode_review(&response, "SubjectAccessReview")?))
    }
}

fn request(user: &ReviewedUser, action: ResourceAttributes<'_>) -> Result<Request<Vec<u8>>, CallFailure> {
    let spec = Spec {
        user: &user.username,
        uid: &user.uid,
        groups: &user.groups,
        extra: &user.extra,
        resource_attributes: action,
    };
    review_request(PATH, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
}

/// Allows only if `allowed` is set and `denied` is not. `reason` and `evaluationError` are free text and not used.
fn decision(status: &SubjectAccessReviewStatus) -> AccessDecision {
    match (status.allowed, status.denied.unwrap_or(false)) {
        (_, true) => AccessDecision::Denied,
        (true, false) => AccessDecision::Allowed,
        (false, false) => AccessDecision::NoOpinion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake_api_server::FakeApiServer;

    const ACTION: ResourceAttributes<'static> =
        ResourceAttributes { group: "claviger.dev", resource: "policies", verb: "get", name: Some("a") };

    async fn review(status: u16, body: &str) -> Result<AccessDecision, CallFailure> {
        let user = ReviewedUser { username: "alice".into(), ..ReviewedUser::default() };
        FakeApiServer::responding(status, body).await.cluster().await.access_review(&user, ACTION).await
    }

    #[tokio::test]
    async fn only_an_explicit_allowed_allows() {
        for (status, expected) in [
            (r#"{"allowed":true}"#, AccessDecision::Allowed),
            (r#"{"allowed":true,"denied":false,"reason":"RBAC"}"#, AccessDecision::Allowed),
            (r#"{"allowed":false}"#, AccessDecision::NoOpinion),
            (r#"{"allowed":false,"evaluationError":"boom"}"#, AccessDecision::NoOpinion),
            (r#"{"allowed":false,"denied":true}"#, AccessDecision::Denied),
            (r#"{"allowed":true,"denied":true}"#, AccessDecision::Denied),
        ] {
            let body = format!(r#"{{"kind":"SubjectAccessReview","status":{status}}}"#);
            assert_eq!(review(201, &body).await, Ok(expected), "{status}");
        }
    }

    #[tokio::test]
    async fn other_statuses_and_malformed_bodies_are_failures() {
        let allowed = r#"{"kind":"SubjectAccessReview","status":{"allowed":true}}"#;
        for (status, body, failure) in [
            (401, allowed, CallFailure::Credentials),
            (403, allowed, CallFailure::Credentials),
            (429, allowed, CallFailure::Overloaded),
            (500, allowed, CallFailure::Overloaded),
            (302, allowed, CallFailure::Status),
            (201, "", CallFailure::Malformed),
            (201, r#"{"kind":"TokenReview","status":{"allowed":true}}"#, CallFailure::Malformed),
            (201, r#"{"kind":"SubjectAccessReview"}"#, CallFailure::Malformed),
            (201, r#"{"kind":"SubjectAccessReview","status":{"allowed":"true"}}"#, CallFailure::Malformed),
        ] {
            assert_eq!(review(status, body).await, Err(failure), "{status} {body}");
        }
    }

    #[test]
    fn the_request_contains_the_user_unchanged() {
        let user = ReviewedUser {
            username: "alice".into(),
            uid: "7".into(),
            groups: vec!["b".into(), "a".into()],
            extra: BTreeMap::from([("scopes.example/x".into(), vec!["1".into(), "1".into()])]),
        };
        let spec = |action| {
            let request = request(&user, action).expect("a request");
            serde_json::from_slice::<serde_json::Value>(request.body()).expect("JSON")["spec"].clone()
        };
        let expected = serde_json::json!({
            "user": "alice", "uid": "7", "groups": ["b", "a"], "extra": {"scopes.example/x": ["1", "1"]},
            "resourceAttributes": {"group": "claviger.dev", "resource": "policies", "verb": "get", "name": "a"},
        });
        assert_eq!(spec(ACTION), expected);
        assert_eq!(spec(ResourceAttributes { name: None, ..ACTION })["resourceAttributes"].get("name"), None);
    }
}
