//! `TokenReview`: asks the API server for the user and the audiences of a token.

use super::client::Cluster;
use super::error::{CallFailure, ClusterError};
use super::exchange::{Answer, DEADLINE};
use super::pod::Pod;
use super::review_request::review_request;
use crate::model::caller::Workload;
use crate::model::secret::SecretValue;
use futures_util::future::{Either, ready, select};
use http::Request;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::pin::pin;
use tokio::time::Instant;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// The answer repeats the request with the token, and has the user's groups and extra fields.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The API server's answer for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Review {
    /// The token is not valid. The reason is not kept: it may quote the token.
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
    /// The ServiceAccount's uid.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Extra fields, such as the pod that the token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A pod, by its namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The answers of a review, and of the read of a pod beside it.
#[derive(Debug)]
pub struct ReviewBesidePod {
    /// The review.
    pub review: Review,
    /// The pod that was read. `None` if the token is not valid.
    pub pod: Option<PodRead>,
}

/// The result of a read of a pod.
pub type PodRead = Result<Option<Pod>, ClusterError>;

impl PodName {
    /// Whether this is the pod of a workload.
    #[must_use]
    pub fn is_of(&self, workload: &Workload) -> bool {
        self.namespace == workload.namespace && self.name == workload.pod.name
    }
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    audiences: &'a [&'a str],
}

/// The answer. Its `spec`, which repeats the token, is not read.
#[derive(Deserialize)]
struct ReviewResponse {
    kind: String,
    status: TokenReviewStatus,
}

impl Cluster {
    /// Asks for the user of a token, for these audiences. The caller must check which of them the answer contains.
    ///
    /// # Errors
    /// The API server gave no usable answer. An invalid token is not an error but [`Review::NotAuthenticated`].
    pub async fn token_review(&self, token: &SecretValue, audiences: &[&str]) -> Result<Review, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        let request = request(token, audiences)?;
        let _slot = self.reviews.enter(deadline).await?;
        self.review_in_slot(request, deadline).await
    }

    /// The same, and reads a pod at the same time. Both use the slot of the review, so that forged tokens cannot block reads of
    /// pods. The read ends when the review refuses the token: neither the answer nor its time depends on the pod then.
    ///
    /// # Errors
    /// The API server gave no usable answer to the review.
    pub async fn token_review_beside(
        &self,
        token: &SecretValue,
        audiences: &[&str],
        pod: &PodName,
    ) -> Result<ReviewBesidePod, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        let request = request(token, audiences)?;
        let _slot = self.reviews.enter(deadline).await?;
        let review = pin!(self.review_in_slot(request, deadline));
        let pod = pin!(self.pod_in_slot(&pod.namespace, &pod.name, deadline));
        let (review, pod) = match select(review, pod).await {
            Either::Left((review, pod)) => (review?, Either::Left(pod)),
            Either::Right((pod, review)) => (review.await?, Either::Right(ready(pod))),
        };
        let pod = if review == Review::NotAuthenticated { None } else { Some(pod.await) };
        Ok(ReviewBesidePod { review, pod })
    }

    async fn review_in_slot(&self, request: Request<Vec<u8>>, deadline: Instant) -> Result<Review, ClusterError> {
        let sent = Instant::now();
        let answer = self.exchange(request, MAX_ANSWER_BYTES, deadline).await;
        self.metrics.observe_token_review(sent.elapsed());
        read(&answer?)
    }
}

impl Cluster {
    /// Whether the broker's own token, which is for the API server, is also valid for this audience. False if
    /// `kube` creates the token itself.
    ///
    /// # Errors
    /// The API server gave no usable answer.
    pub async fn takes_own_token(&self, audience: &str) -> Result<bool, ClusterError> {
        let connection = self.connection.load_full();
        let shown = connection.authorization.as_ref().and_then(|header| header.to_str().ok());
        let Some(token) = shown.and_then(|header| header.strip_prefix("Bearer ")) else { return Ok(false) };
        Ok(match self.token_review(&SecretValue::new(token.to_owned()), &[audience]).await? {
            Review::Authenticated(user) => user.audiences.iter().any(|one| one == audience),
            Review::NotAuthenticated => false,
        })
    }
}

/// Parses an answer.
pub(super) fn read(answer: &Answer) -> Result<Review, ClusterError> {
    if !answer.status.is_success() {
        return Err(answer.unexpected_status().into());
    }
    let reviewed: ReviewResponse = answer.decode()?;
    if reviewed.kind != "TokenReview" {
        return Err(CallFailure::Malformed.into());
    }
    Ok(review(reviewed.status))
}

#[expect(clippy::disallowed_methods, reason = "the API server is asked about the token itself")]
fn request(token: &SecretValue, audiences: &[&str]) -> Result<Request<Vec<u8>>, CallFailure> {
    let spec = Spec { token: token.expose_secret(), audiences };
    review_request(PATH, "authentication.k8s.io/v1", "TokenReview", spec)
}

fn review(status: TokenReviewStatus) -> Review {
    // The field is omitted if false. `status.error` is not used: it is also set for ordinary invalid tokens.
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
    use crate::cluster::fake::Fake;

    async fn asked(fake: Fake) -> Result<Review, ClusterError> {
        fake.cluster().await.token_review(&SecretValue::new("hunter2".into()), &["claviger"]).await
    }

    async fn answered(status: u16, body: &str) -> Result<Review, ClusterError> {
        asked(Fake::answering(status, body).await).await
    }

    fn unavailable(failure: CallFailure) -> Result<Review, ClusterError> {
        Err(ClusterError::Unavailable(failure))
    }

    #[tokio::test]
    async fn authenticated_is_what_says_so_and_nothing_else() {
        let good = r#"{"kind":"TokenReview","status":{"authenticated":true,"audiences":["claviger"],"user":{"username":"u","uid":"1","groups":["g"],"extra":{"k":["v"]}}}}"#;
        let user = User {
            audiences: vec!["claviger".into()],
            username: "u".into(),
            uid: "1".into(),
            groups: vec!["g".into()],
            extra: BTreeMap::from([("k".into(), vec!["v".into()])]),
        };
        assert_eq!(answered(201, good).await, Ok(Review::Authenticated(user)));

        for status in ["{}", r#"{"authenticated":false}"#, r#"{"error":"token has expired"}"#, r#"{"user":{}}"#] {
            let body = format!(r#"{{"kind":"TokenReview","status":{status}}}"#);
            assert_eq!(answered(201, &body).await, Ok(Review::NotAuthenticated), "{status}");
        }
    }

    #[tokio::test]
    async fn every_other_answer_is_trouble() {
        let yes = r#"{"kind":"TokenReview","status":{"authenticated":true}}"#;
        for (status, expected) in [
            (401, CallFailure::Credentials),
            (403, CallFailure::Credentials),
            (429, CallFailure::Overloaded),
            (500, CallFailure::Overloaded),
            (503, CallFailure::Overloaded),
            (302, CallFailure::Status),
            (404, CallFailure::Status),
        ] {
            assert_eq!(answered(status, yes).await, unavailable(expected), "{status}");
        }
        for body in ["", "{}", "<html>", r#"{"kind":"Status","status":{}}"#, r#"{"kind":"TokenReview"}"#, &yes[..40]] {
            assert_eq!(answered(201, body).await, unavailable(CallFailure::Malformed), "{body}");
        }
        let in_order = r#"["TokenReview",{"authenticated":true}]"#;
        assert_eq!(answered(201, in_order).await, unavailable(CallFailure::Malformed), "an array is no object");
        let large = format!("{yes}{}", " ".repeat(MAX_ANSWER_BYTES));
        assert_eq!(answered(201, &large).await, unavailable(CallFailure::TooLarge));
    }

    #[test]
    fn what_is_no_text_vouches_for_nobody_wherever_it_is_none() {
        let read_with = |ignored: &[u8]| {
            let body =
                [&br#"{"kind":"TokenReview","status":{"authenticated":true},"x":""#[..], ignored, b"\"}"].concat();
            read(&Answer { status: http::StatusCode::CREATED, date: None, body })
        };
        assert_eq!(read_with(b"\xc3\xa9"), Ok(Review::Authenticated(User::default())));
        assert_eq!(read_with(b"\xed"), unavailable(CallFailure::Malformed));
    }

    #[tokio::test]
    async fn nobody_listening_is_a_broken_connection_and_silence_a_timeout() {
        assert_eq!(
            asked(Fake::absent().await).await,
            unavailable(CallFailure::Unconnected(crate::trust::ConnectFailure::Refused))
        );

        let silent = Fake::silent().await;
        let cluster = silent.cluster().await;
        tokio::time::pause();
        let answer = cluster.token_review(&SecretValue::new("hunter2".into()), &["claviger"]).await;
        assert_eq!(answer, unavailable(CallFailure::Timeout));
    }
}
