//! `TokenReview`: asks the API server for the user and the audiences of a token.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::http_exchange::{ApiResponse, CALL_TIMEOUT};
use super::pod::Pod;
use super::review_request::{decode_review, review_request};
use crate::model::caller::Workload;
use crate::model::secret::SecretValue;
use futures_util::future::{Either, ready, select};
use http::Request;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use serde::Serialize;
use std::collections::BTreeMap;
use std::pin::pin;
use tokio::time::Instant;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Maximum size of a response, which repeats the request with the token, and has the user's groups and extra fields.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// The result of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Review {
    /// The token is not valid. The API server's reason is discarded, because it may quote the token.
    NotAuthenticated,
    /// The token is valid.
    Authenticated(User),
}

/// The user of a valid token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The requested audiences that the token is valid for. Empty if the API server did not check audiences.
    pub audiences: Vec<String>,
    /// `system:serviceaccount:NAMESPACE:NAME` for a ServiceAccount.
    pub username: String,
    /// For a ServiceAccount, its `metadata.uid`.
    pub uid: String,
    /// Such as `system:serviceaccounts`.
    pub groups: Vec<String>,
    /// Extra fields, such as the pod that the token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Namespace and name of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The results of a review and of a concurrent read of a pod.
#[derive(Debug)]
pub struct ReviewWithPod {
    /// The result of the review.
    pub review: Review,
    /// The result of the read. `None` if the token is not valid or no pod was read.
    pub pod: Option<PodResult>,
}

/// The result of a read of a pod. `Ok(None)` if the pod does not exist.
pub type PodResult = Result<Option<Pod>, CallFailure>;

impl PodName {
    /// Whether the pod of a workload has this namespace and name.
    #[must_use]
    pub fn matches(&self, workload: &Workload) -> bool {
        self.namespace == workload.namespace && self.name == workload.pod.name
    }
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    audiences: &'a [&'a str],
}

impl Cluster {
    /// Reviews a token for these audiences. The caller of this function must check which of them the result contains.
    ///
    /// # Errors
    /// The call to the API server fails. An invalid token is not an error but [`Review::NotAuthenticated`].
    pub async fn token_review(&self, token: &SecretValue, audiences: &[&str]) -> Result<Review, CallFailure> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let request = request(token, audiences)?;
        let _slot = self.reviews.enter(deadline).await?;
        self.review_in_slot(request, deadline).await
    }

    /// Like [`Self::token_review`], and reads a pod concurrently. Both use the slot of the review, so that forged tokens cannot
    /// block reads of pods. If the review refuses the token, the read is cancelled, so that neither the result nor its time depends
    /// on the pod.
    ///
    /// # Errors
    /// The call of the review fails.
    pub async fn token_review_with_pod(
        &self,
        token: &SecretValue,
        audiences: &[&str],
        pod: &PodName,
    ) -> Result<ReviewWithPod, CallFailure> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let request = request(token, audiences)?;
        let _slot = self.reviews.enter(deadline).await?;
        let review = pin!(self.review_in_slot(request, deadline));
        let pod = pin!(self.pod_in_slot(&pod.namespace, &pod.name, deadline));
        let (review, pod) = match select(review, pod).await {
            Either::Left((review, pod)) => (review?, Either::Left(pod)),
            Either::Right((pod, review)) => (review.await?, Either::Right(ready(pod))),
        };
        let pod = if review == Review::NotAuthenticated { None } else { Some(pod.await) };
        Ok(ReviewWithPod { review, pod })
    }

    async fn review_in_slot(&self, request: Request<Vec<u8>>, deadline: Instant) -> Result<Review, CallFailure> {
        let sent_at = Instant::now();
        let response = self.exchange(request, MAX_RESPONSE_BYTES, deadline).await;
        self.metrics.observe_token_review(sent_at.elapsed());
        parse_review(&response?)
    }

    /// Whether the broker's own token, which is for the API server, is also valid for this audience. False if `kube` sends the
    /// token itself, because the token is not known here then.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn accepts_own_token(&self, audience: &str) -> Result<bool, CallFailure> {
        let connection = self.connection.load_full();
        let header = connection.authorization.as_ref().and_then(|header| header.to_str().ok());
        let Some(token) = header.and_then(|header| header.strip_prefix("Bearer ")) else { return Ok(false) };
        Ok(match self.token_review(&SecretValue::new(token.to_owned()), &[audience]).await? {
            Review::Authenticated(user) => user.audiences.iter().any(|accepted| accepted == audience),
            Review::NotAuthenticated => false,
        })
    }
}

/// Parses the response to a `TokenReview`.
pub(super) fn parse_review(response: &ApiResponse) -> Result<Review, CallFailure> {
    Ok(to_review(decode_review(response, "TokenReview")?))
}

#[expect(clippy::disallowed_methods, reason = "the API server is asked about the token itself")]
fn request(token: &SecretValue, audiences: &[&str]) -> Result<Request<Vec<u8>>, CallFailure> {
    let spec = Spec { token: token.expose_secret(), audiences };
    review_request(PATH, "authentication.k8s.io/v1", "TokenReview", spec)
}

fn to_review(status: TokenReviewStatus) -> Review {
    // The field is omitted if it is false. `status.error` is not used, because it is also set for ordinary invalid tokens.
    if status.authenticated != Some(true) {
        return Review::NotAuthenticated;
    }
    let user = status.user.unwrap_or_default();
    Review::Authenticated(User {
        audiences: status.audiences.unwrap_or_default(),
        username: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake_api_server::FakeApiServer;

    async fn review_by(fake: FakeApiServer) -> Result<Review, CallFailure> {
        fake.cluster().await.token_review(&SecretValue::new("hunter2".into()), &["claviger"]).await
    }

    async fn reviewed(status: u16, body: &str) -> Result<Review, CallFailure> {
        review_by(FakeApiServer::responding(status, body).await).await
    }

    #[tokio::test]
    async fn only_an_explicit_authenticated_is_accepted() {
        let good = r#"{"kind":"TokenReview","status":{"authenticated":true,"audiences":["claviger"],"user":{"username":"u","uid":"1","groups":["g"],"extra":{"k":["v"]}}}}"#;
        let user = User {
            audiences: vec!["claviger".into()],
            username: "u".into(),
            uid: "1".into(),
            groups: vec!["g".into()],
            extra: BTreeMap::from([("k".into(), vec!["v".into()])]),
        };
        assert_eq!(reviewed(201, good).await, Ok(Review::Authenticated(user)));

        for status in ["{}", r#"{"authenticated":false}"#, r#"{"error":"token has expired"}"#, r#"{"user":{}}"#] {
            let body = format!(r#"{{"kind":"TokenReview","status":{status}}}"#);
            assert_eq!(reviewed(201, &body).await, Ok(Review::NotAuthenticated), "{status}");
        }
    }

    #[tokio::test]
    async fn other_statuses_and_malformed_bodies_are_failures() {
        let authenticated = r#"{"kind":"TokenReview","status":{"authenticated":true}}"#;
        for (status, expected) in [
            (401, CallFailure::Credentials),
            (403, CallFailure::Credentials),
            (429, CallFailure::Overloaded),
            (500, CallFailure::Overloaded),
            (503, CallFailure::Overloaded),
            (302, CallFailure::Status),
            (404, CallFailure::Status),
        ] {
            assert_eq!(reviewed(status, authenticated).await, Err(expected), "{status}");
        }
        for body in
            ["", "{}", "<html>", r#"{"kind":"Status","status":{}}"#, r#"{"kind":"TokenReview"}"#, &authenticated[..40]]
        {
            assert_eq!(reviewed(201, body).await, Err(CallFailure::Malformed), "{body}");
        }
        let in_order = r#"["TokenReview",{"authenticated":true}]"#;
        assert_eq!(reviewed(201, in_order).await, Err(CallFailure::Malformed), "an array is no object");
        let large = format!("{authenticated}{}", " ".repeat(MAX_RESPONSE_BYTES));
        assert_eq!(reviewed(201, &large).await, Err(CallFailure::TooLarge));
    }

    #[test]
    fn a_body_that_is_not_utf_8_is_malformed_even_in_an_ignored_field() {
        let parse_with = |ignored: &[u8]| {
            let body =
                [&br#"{"kind":"TokenReview","status":{"authenticated":true},"x":""#[..], ignored, b"\"}"].concat();
            parse_review(&ApiResponse { status: http::StatusCode::CREATED, date: None, body })
        };
        assert_eq!(parse_with(b"\xc3\xa9"), Ok(Review::Authenticated(User::default())));
        assert_eq!(parse_with(b"\xed"), Err(CallFailure::Malformed));
    }

    #[tokio::test]
    async fn an_unreachable_server_and_one_that_does_not_respond_are_unavailable() {
        assert_eq!(
            review_by(FakeApiServer::unreachable().await).await,
            Err(CallFailure::Unconnected(crate::trust::ConnectFailure::Refused))
        );

        let silent = FakeApiServer::silent().await;
        let cluster = silent.cluster().await;
        tokio::time::pause();
        let response = cluster.token_review(&SecretValue::new("hunter2".into()), &["claviger"]).await;
        assert_eq!(response, Err(CallFailure::Timeout));
    }
}
