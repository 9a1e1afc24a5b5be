//! `SubjectAccessReview`: asks the API server whether a user may perform an action.

use super::client::Cluster;
use super::error::{CallFailure, ClusterError};
use super::exchange::DEADLINE;
use super::review_request::review_request;
use crate::model::applicant::ReviewedUser;
use http::Request;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::time::Instant;

const PATH: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// The answer repeats the request with the user's groups and extra fields, and adds a reason.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// An action of a user, in the terms of Kubernetes RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Access<'a> {
    /// The API group.
    pub group: &'a str,
    /// The resource, in the plural.
    pub resource: &'a str,
    /// The verb: `get`, `list`, `create`, `update` or `delete`.
    pub verb: &'a str,
    /// The name of one object; `None` stands for all objects.
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
    resource_attributes: Access<'a>,
}

#[derive(Deserialize)]
struct ReviewResponse {
    kind: String,
    status: SubjectAccessReviewStatus,
}

impl Cluster {
    /// Asks whether a user may perform an action.
    ///
    /// # Errors
    /// The API server gave no usable answer.
    pub async fn access_review(&self, user: &ReviewedUser, access: Access<'_>) -> Result<AccessDecision, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        let request = request(user, access)?;
        // Uses the limit for reads, not the one for reviews: forged tokens may exhaust the latter, and this user
        // is already authenticated.
        let _slot = self.reads.enter(deadline).await?;
        let answer = self.exchange(request, MAX_ANSWER_BYTES, deadline).await?;
        if !answer.status.is_success() {
            return Err(answer.unexpected_status().into());
        }
        let reviewed: ReviewResponse = answer.decode()?;
        if reviewed.kind != "SubjectAccessReview" {
            return Err(CallFailure::Malformed.into());
        }
        Ok(verdict(&reviewed.status))
    }
}

fn request(user: &ReviewedUser, access: Access<'_>) -> Result<Request<Vec<u8>>, CallFailure> {
    let spec = Spec {
        user: &user.username,
        uid: &user.uid,
        groups: &user.groups,
        extra: &user.extra,
        resource_attributes: access,
    };
    review_request(PATH, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
}

/// Only an explicit `allowed` counts. `reason` and `evaluationError` are text of the API server and are discarded.
fn verdict(status: &SubjectAccessReviewStatus) -> AccessDecision {
    match (status.allowed, status.denied.unwrap_or(false)) {
        (_, true) => AccessDecision::Denied,
        (true, false) => AccessDecision::Allowed,
        (false, false) => AccessDecision::NoOpinion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::Fake;

    const ACCESS: Access<'static> =
        Access { group: "claviger.dev", resource: "policies", verb: "get", name: Some("a") };

    async fn answered(status: u16, body: &str) -> Result<AccessDecision, ClusterError> {
        let user = ReviewedUser { username: "alice".into(), ..ReviewedUser::default() };
        Fake::answering(status, body).await.cluster().await.access_review(&user, ACCESS).await
    }

    #[tokio::test]
    async fn only_a_plain_yes_is_one() {
        for (status, expected) in [
            (r#"{"allowed":true}"#, AccessDecision::Allowed),
            (r#"{"allowed":true,"denied":false,"reason":"RBAC"}"#, AccessDecision::Allowed),
            (r#"{"allowed":false}"#, AccessDecision::NoOpinion),
            (r#"{"allowed":false,"evaluationError":"boom"}"#, AccessDecision::NoOpinion),
            (r#"{"allowed":false,"denied":true}"#, AccessDecision::Denied),
            (r#"{"allowed":true,"denied":true}"#, AccessDecision::Denied),
        ] {
            let body = format!(r#"{{"kind":"SubjectAccessReview","status":{status}}}"#);
            assert_eq!(answered(201, &body).await, Ok(expected), "{status}");
        }
    }

    #[tokio::test]
    async fn every_other_answer_is_trouble() {
        let yes = r#"{"kind":"SubjectAccessReview","status":{"allowed":true}}"#;
        for (status, body, trouble) in [
            (401, yes, CallFailure::Credentials),
            (403, yes, CallFailure::Credentials),
            (429, yes, CallFailure::Overloaded),
            (500, yes, CallFailure::Overloaded),
            (302, yes, CallFailure::Status),
            (201, "", CallFailure::Malformed),
            (201, r#"{"kind":"TokenReview","status":{"allowed":true}}"#, CallFailure::Malformed),
            (201, r#"{"kind":"SubjectAccessReview"}"#, CallFailure::Malformed),
            (201, r#"{"kind":"SubjectAccessReview","status":{"allowed":"true"}}"#, CallFailure::Malformed),
        ] {
            assert_eq!(answered(status, body).await, Err(ClusterError::Unavailable(trouble)), "{status} {body}");
        }
    }

    #[test]
    fn the_user_is_handed_back_to_the_letter() {
        let user = ReviewedUser {
            username: "alice".into(),
            uid: "7".into(),
            groups: vec!["b".into(), "a".into()],
            extra: BTreeMap::from([("scopes.example/x".into(), vec!["1".into(), "1".into()])]),
        };
        let asked = |access| {
            let request = request(&user, access).expect("a question");
            serde_json::from_slice::<serde_json::Value>(request.body()).expect("JSON")["spec"].clone()
        };
        let expected = serde_json::json!({
            "user": "alice", "uid": "7", "groups": ["b", "a"], "extra": {"scopes.example/x": ["1", "1"]},
            "resourceAttributes": {"group": "claviger.dev", "resource": "policies", "verb": "get", "name": "a"},
        });
        assert_eq!(asked(ACCESS), expected);
        assert_eq!(asked(Access { name: None, ..ACCESS })["resourceAttributes"].get("name"), None);
    }
}
