//! The authenticator of one Kubernetes cluster: a TokenReview and, if the token is bound to a pod, a check of this pod. A user of
//! the admin API may be any user that the API server authenticates.

use super::bound_pod::{names_a_pod, service_account, workload};
use super::error::{AuthnError, OnlineCheckError, TokenRefusal};
use super::port::Authenticator;
use super::review_cache::{ReviewCache, ReviewResult};
use super::review_gate::{AddressHistory, ReviewGate};
use super::unverified_token::{Fingerprint, UnverifiedToken};
use crate::cluster::token_review::{PodName, PodResult, Review, ReviewWithPod, User};
use crate::cluster::{CallFailure, Cluster};
use crate::config::authenticators as config;
use crate::model::applicant::{Applicant, ReviewedUser};
use crate::model::caller::{Caller, ServiceAccount, Workload};
use crate::model::clock::Clock;
use crate::model::secret::SecretValue;
use async_trait::async_trait;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

/// Authenticates the pods and users of one cluster.
pub struct TokenReview {
    reviewer: Arc<Reviewer>,
    cache_ttl: Duration,
    cache: Arc<ReviewCache<Applicant>>,
    gate: Arc<ReviewGate>,
    clock: Arc<dyn Clock>,
}

/// The dependencies of a review, shared with the tasks in which reviews run.
struct Reviewer {
    name: Arc<str>,
    audience: String,
    /// The audience that a ServiceAccount token needs to be admitted without a pod. `None` if no such token is admitted.
    unbound_audience: Option<String>,
    /// The `iss` of the cluster's tokens. If it is not configured, `iss` is not checked.
    issuer: Option<String>,
    cluster: Arc<Cluster>,
}

impl TokenReview {
    pub fn new(
        name: Arc<str>,
        config: &config::Kubernetes,
        cluster: Arc<Cluster>,
        gate: Arc<ReviewGate>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (audience, unbound_audience) = (config.audience.clone(), config.unbound_audience.clone());
        let reviewer = Arc::new(Reviewer { name, audience, unbound_audience, issuer: config.issuer.clone(), cluster });
        let cache = Arc::new(ReviewCache::new(config.cache_ttl));
        Self { reviewer, cache_ttl: config.cache_ttl, cache, gate, clock }
    }

    /// Checks the unverified claims, before any call.
    fn check_claims(&self, token: &UnverifiedToken<'_>) -> Result<(), TokenRefusal> {
        if self.reviewer.issuer.as_deref().is_some_and(|issuer| token.string_claim("iss") != Some(issuer)) {
            return Err(TokenRefusal::UnknownIssuer);
        }
        token.check_audience_and_times(|audience| self.reviewer.accepts(audience), self.clock.now())
    }
}

#[async_trait]
impl Authenticator for TokenReview {
    fn name(&self) -> &Arc<str> {
        &self.reviewer.name
    }

    fn issuer(&self) -> Option<&str> {
        self.reviewer.issuer.as_deref()
    }

    async fn authenticate(&self, token: &UnverifiedToken<'_>, history: AddressHistory) -> ReviewResult<Arc<Caller>> {
        require_bound_pod(self.authenticate_applicant(token, history).await?)
    }

    async fn authenticate_applicant(
        &self,
        token: &UnverifiedToken<'_>,
        history: AddressHistory,
    ) -> ReviewResult<Applicant> {
        self.check_claims(token).map_err(AuthnError::Refused)?;
        let remaining_seconds = token.expires_at().saturating_sub(self.clock.now().as_second());
        let ttl = self.cache_ttl.min(Duration::from_secs(remaining_seconds.try_into().unwrap_or(0)));
        let fingerprint = *token.fingerprint();
        let review = || {
            let (reviewer, bearer, cache) = (self.reviewer.clone(), token.bearer().clone(), self.cache.clone());
            let (gate, claims) = (self.gate.clone(), token.claims_fingerprint());
            // If the token is refused, this read is cancelled, which closes a connection. So it is not made for an address with
            // refusals.
            let claimed = if history.is_clean() { token.claimed_pod() } else { None };
            async move {
                if !cache.was_accepted_before(&fingerprint).await {
                    gate.enter(history, &claims).await?;
                }
                let result = reviewer.review(&bearer, claimed.as_ref()).await;
                if result == Err(AuthnError::Refused(TokenRefusal::NotAuthenticated)) {
                    gate.record_forged(history, &claims);
                }
                result
            }
        };
        self.cache.get_or_review(fingerprint, ttl, review).await
    }

    /// No check is needed: the audience was checked before, and the entry expires with the token.
    async fn cached(&self, token: &Fingerprint) -> Option<Applicant> {
        self.cache.cached(token).await?.ok()
    }

    async fn reload(&self) {
        self.reviewer.cluster.reload_if_changed();
    }

    async fn check_online(&self) -> Result<(), OnlineCheckError> {
        let invalid_token = SecretValue::new("not-a-token".into());
        self.reviewer.cluster.token_review(&invalid_token, &[&self.reviewer.audience]).await?;
        // The broker's own token has the audience of the API server, which must not be that of callers' tokens.
        if self.reviewer.cluster.accepts_own_token(&self.reviewer.audience).await? {
            return Err(OnlineCheckError::ApiServerAudience);
        }
        match &self.reviewer.unbound_audience {
            Some(audience) if self.reviewer.cluster.accepts_own_token(audience).await? => {
                Err(OnlineCheckError::ApiServerUnboundAudience)
            }
            _ => Ok(()),
        }
    }
}

/// The caller, if its token is bound to a pod or admitted without a pod. `NotPodBound` for any other token.
fn require_bound_pod(applicant: Applicant) -> ReviewResult<Arc<Caller>> {
    let Applicant { caller, .. } = applicant;
    if caller.service_account().is_some() { Ok(caller) } else { Err(not_pod_bound(&caller)) }
}

/// The refusal of a valid token that is not admitted for builds. It contains the caller only for the audit event, which names the
/// ServiceAccount.
fn not_pod_bound(caller: &Caller) -> AuthnError {
    let unbound_account = service_account(&caller.subject);
    AuthnError::NotPodBound(Arc::new(Caller { unbound_account, ..Caller::clone(caller) }))
}

impl Reviewer {
    fn accepts(&self, audience: &str) -> bool {
        audience == self.audience || self.unbound_audience.as_deref() == Some(audience)
    }

    /// Reviews a token, and concurrently reads the pod that its claims name (`claimed`). This read is used only if the review names
    /// the same pod.
    async fn review(&self, bearer: &SecretValue, claimed: Option<&PodName>) -> ReviewResult<Applicant> {
        let audiences: Vec<&str> =
            iter::once(&self.audience).chain(&self.unbound_audience).map(String::as_str).collect();
        let result = if let Some(claimed) = claimed {
            self.cluster.token_review_with_pod(bearer, &audiences, claimed).await
        } else {
            let review = self.cluster.token_review(bearer, &audiences).await;
            review.map(|review| ReviewWithPod { review, pod: None })
        };
        let ReviewWithPod { review, pod } = result.map_err(|error| self.log_unavailable(error))?;
        let user = match review {
            Review::Authenticated(user) => user,
            Review::NotAuthenticated => return Err(AuthnError::Refused(TokenRefusal::NotAuthenticated)),
        };
        // An empty list means that the API server does not check audiences.
        if !user.audiences.iter().any(|audience| self.accepts(audience)) {
            return Err(AuthnError::Refused(TokenRefusal::WrongAudience));
        }
        match workload(&user) {
            Some(workload) => {
                let read = pod.filter(|_| claimed.is_some_and(|claimed| claimed.matches(&workload)));
                self.check_pod(user, workload, read).await
            }
            // The review names a pod, but not by exactly one name and one UID.
            None if names_a_pod(&user) => Err(not_pod_bound(&self.applicant(user, None, None).caller)),
            None => {
                let is_admitted =
                    self.unbound_audience.as_ref().is_some_and(|audience| user.audiences.contains(audience));
                let unbound_account = if is_admitted { service_account(&user.username) } else { None };
                Ok(self.applicant(user, None, unbound_account))
            }
        }
    }

    /// The applicant, if the token's pod is running. `read` is the result of an earlier read of this pod, if there was one.
    async fn check_pod(&self, user: User, workload: Workload, read: Option<PodResult>) -> ReviewResult<Applicant> {
        let pod = match read {
            Some(pod) => pod,
            None => self.cluster.pod(&workload.namespace, &workload.pod.name).await,
        };
        match pod.map_err(|error| self.log_unavailable(error))? {
            Some(pod) if pod.is_running_as(&workload) => Ok(self.applicant(user, Some(workload), None)),
            _ => Err(AuthnError::Refused(TokenRefusal::PodGone)),
        }
    }

    fn applicant(&self, user: User, workload: Option<Workload>, unbound_account: Option<ServiceAccount>) -> Applicant {
        let User { audiences, username, uid, groups, extra } = user;
        // A token with only the audience for callers without a pod is not allowed to administer.
        let may_administer = audiences.contains(&self.audience);
        Applicant {
            caller: Arc::new(Caller {
                issuer: self.name.clone(),
                subject: username.clone(),
                groups: groups.clone(),
                workload,
                unbound_account,
                claims: serde_json::Map::new(),
            }),
            user: may_administer.then(|| Arc::new(ReviewedUser { username, uid, groups, extra })),
        }
    }

    fn log_unavailable(&self, failure: CallFailure) -> AuthnError {
        let authenticator = &*self.name;
        if failure == CallFailure::Credentials {
            tracing::error!(
                authenticator,
                trouble = failure.as_str(),
                "the API server rejects the broker's credentials or RBAC; tokens cannot be reviewed, or their pods not read"
            );
        } else {
            tracing::warn!(
                authenticator,
                trouble = failure.as_str(),
                "a TokenReview, or the read of the token's pod, failed"
            );
        }
        AuthnError::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::unverified_token::BearerToken;
    use crate::cluster::fake_api_server::FakeApiServer;
    use crate::metrics::Metrics;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use std::io::Write;
    use std::sync::Mutex;

    const NOW: i64 = 1_800_000_000;

    const CLEAN: AddressHistory = AddressHistory::clean(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    struct FixedClock;

    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(NOW).unwrap()
        }
    }

    fn token(lifetime_seconds: i64) -> SecretValue {
        SecretValue::new(token_text(lifetime_seconds))
    }

    fn token_text(lifetime_seconds: i64) -> String {
        token_with_claims(&json!({"iss": "https://own", "aud": ["claviger"], "exp": NOW + lifetime_seconds}))
    }

    fn token_with_claims(claims: &Value) -> String {
        let claims = claims.to_string();
        let parts = [r#"{"alg":"RS256"}"#, claims.as_str(), "canary-signature"];
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    fn review(changes: &Value) -> String {
        let mut status = json!({
            "authenticated": true,
            "audiences": ["claviger"],
            "user": {
                "username": "system:serviceaccount:ci:build-bot",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["build-1"],
                    "authentication.kubernetes.io/pod-uid": ["u"],
                },
            },
        });
        status.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"kind": "TokenReview", "status": status}).to_string()
    }

    fn pod(uid: &str) -> String {
        json!({
            "kind": "Pod",
            "metadata": {"uid": uid},
            "spec": {"serviceAccountName": "build-bot"},
            "status": {"phase": "Running"},
        })
        .to_string()
    }

    struct Rig {
        authenticator: TokenReview,
        metrics: Arc<Metrics>,
    }

    impl Rig {
        async fn new(fake: FakeApiServer, cache_ttl: Duration) -> Self {
            Self::with_issuer(fake, cache_ttl, None).await
        }

        async fn with_issuer(fake: FakeApiServer, cache_ttl: Duration, issuer: Option<&str>) -> Self {
            let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
            let cluster = Arc::new(fake.cluster_with_metrics(metrics.clone()).await);
            let (audience, issuer) = ("claviger".into(), issuer.map(str::to_owned));
            let unbound_audience = Some("claviger-eso".to_owned());
            let config = config::Kubernetes { audience, unbound_audience, issuer, kubeconfig: None, cache_ttl };
            let gate = Arc::new(ReviewGate::new(std::num::NonZeroU32::MAX));
            let authenticator = TokenReview::new("cluster".into(), &config, cluster, gate, Arc::new(FixedClock));
            Self { authenticator, metrics }
        }

        async fn authenticate(&self, token: &SecretValue) -> ReviewResult<Arc<Caller>> {
            let token = UnverifiedToken::parse(BearerToken::new(token)).map_err(AuthnError::Refused)?;
            self.authenticator.authenticate(&token, CLEAN).await
        }

        fn reviews(&self) -> String {
            let text = String::from_utf8(self.metrics.encode().unwrap()).unwrap();
            let count =
                text.lines().find_map(|line| line.strip_prefix("claviger_token_review_duration_seconds_count "));
            count.unwrap().to_owned()
        }
    }

    async fn authenticate_pod(review: &str, read: (u16, &str)) -> Result<String, AuthnError> {
        let rig = Rig::new(FakeApiServer::with_review_and_read(review, read).await, Duration::ZERO).await;
        rig.authenticate(&token(600)).await.map(|caller| caller.subject.clone())
    }

    #[tokio::test]
    async fn audience_user_and_pod_are_checked() {
        let (good, running) = (review(&json!({})), pod("u"));
        let subject = "system:serviceaccount:ci:build-bot".to_owned();
        assert_eq!(authenticate_pod(&good, (200, &running)).await, Ok(subject));

        for audiences in [json!([]), json!(null), json!(["other"]), json!(["claviger2"])] {
            let refused = Err(AuthnError::Refused(TokenRefusal::WrongAudience));
            assert_eq!(authenticate_pod(&review(&json!({"audiences": audiences})), (200, &running)).await, refused);
        }
        let human = review(&json!({"user": {"username": "alice"}}));
        assert!(matches!(authenticate_pod(&human, (200, &running)).await, Err(AuthnError::NotPodBound(_))));
        let bad = review(&json!({"authenticated": false}));
        assert_eq!(
            authenticate_pod(&bad, (200, &running)).await,
            Err(AuthnError::Refused(TokenRefusal::NotAuthenticated))
        );

        let gone = Err(AuthnError::Refused(TokenRefusal::PodGone));
        assert_eq!(authenticate_pod(&good, (404, r#"{"kind":"Status","reason":"NotFound"}"#)).await, gone);
        assert_eq!(authenticate_pod(&good, (200, &pod("other"))).await, gone);
        assert_eq!(authenticate_pod(&good, (500, "")).await, Err(AuthnError::Unavailable));
    }

    async fn authenticate_applicant(review: &str, read: (u16, &str)) -> Result<Applicant, AuthnError> {
        let rig = Rig::new(FakeApiServer::with_review_and_read(review, read).await, Duration::ZERO).await;
        let token = token(600);
        let token = UnverifiedToken::parse(BearerToken::new(&token)).map_err(AuthnError::Refused)?;
        rig.authenticator.authenticate_applicant(&token, CLEAN).await
    }

    #[tokio::test]
    async fn an_administrator_need_not_be_a_pod_but_a_pod_must_be_running() {
        let user = json!({"username": "alice", "uid": "7", "groups": ["a"], "extra": {"k": ["v"]}});
        let alice = authenticate_applicant(&review(&json!({"user": user})), (404, "")).await.expect("alice");
        let expected = ReviewedUser {
            username: "alice".into(),
            uid: "7".into(),
            groups: vec!["a".into()],
            extra: [("k".into(), vec!["v".into()])].into(),
        };
        assert_eq!((alice.user.as_deref(), alice.caller.subject.as_str()), (Some(&expected), "alice"));
        assert_eq!(alice.caller.workload, None);

        let pod_bound = review(&json!({}));
        assert!(
            authenticate_applicant(&pod_bound, (200, &pod("u")))
                .await
                .expect("a running pod")
                .caller
                .workload
                .is_some()
        );
        let gone = Some(AuthnError::Refused(TokenRefusal::PodGone));
        assert_eq!(authenticate_applicant(&pod_bound, (200, &pod("other"))).await.err(), gone);
        let incomplete = json!({"username": "system:serviceaccount:ci:build-bot",
            "extra": {"authentication.kubernetes.io/pod-name": ["build-1"]}});
        let incomplete = authenticate_applicant(&review(&json!({"user": incomplete})), (200, &pod("u"))).await.err();
        assert!(matches!(incomplete, Some(AuthnError::NotPodBound(_))), "{incomplete:?}");
        let wrong_audience = review(&json!({"user": user, "audiences": ["other"]}));
        let refused = Some(AuthnError::Refused(TokenRefusal::WrongAudience));
        assert_eq!(authenticate_applicant(&wrong_audience, (404, "")).await.err(), refused);
    }

    /// Authenticates a token that claims to be bound to this pod. Returns the result, and the requests that it causes.
    async fn authenticate_claiming(
        namespace: &str,
        name: &str,
        fake: FakeApiServer,
    ) -> (ReviewResult<Arc<Caller>>, Vec<String>) {
        authenticate_claiming_from(CLEAN, namespace, name, fake).await
    }

    async fn authenticate_claiming_from(
        history: AddressHistory,
        namespace: &str,
        name: &str,
        fake: FakeApiServer,
    ) -> (ReviewResult<Arc<Caller>>, Vec<String>) {
        let requests = fake.requests();
        let claims = json!({"aud": ["claviger"], "exp": NOW + 600,
            "kubernetes.io": {"namespace": namespace, "pod": {"name": name, "uid": "u"}}});
        let rig = Rig::new(fake, Duration::ZERO).await;
        let token = SecretValue::new(token_with_claims(&claims));
        let token = UnverifiedToken::parse(BearerToken::new(&token)).unwrap();
        (rig.authenticator.authenticate(&token, history).await, requests.lines())
    }

    const REVIEW: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1";
    const POD_OF_REVIEW: &str = "GET /api/v1/namespaces/ci/pods/build-1 HTTP/1.1";

    #[tokio::test]
    async fn the_claimed_pod_is_read_with_the_review_and_used_only_if_it_is_the_reviewed_one() {
        let good = review(&json!({}));
        let (result, requests) =
            authenticate_claiming("ci", "build-1", FakeApiServer::with_review_and_read(&good, (200, &pod("u"))).await)
                .await;
        assert!(result.is_ok());
        assert_eq!(requests, [POD_OF_REVIEW, REVIEW], "the pod is read once");
        let (result, _) = authenticate_claiming(
            "ci",
            "build-1",
            FakeApiServer::with_review_and_read(&good, (200, &pod("other"))).await,
        )
        .await;
        assert_eq!(result, Err(AuthnError::Refused(TokenRefusal::PodGone)));

        for (namespace, name) in [("other", "build-1"), ("ci", "build-2")] {
            let (result, requests) = authenticate_claiming(
                namespace,
                name,
                FakeApiServer::with_review_and_read(&good, (200, &pod("u"))).await,
            )
            .await;
            assert!(result.is_ok(), "the pod of the review is read");
            assert!(requests.len() == 3 && requests.iter().any(|line| line == POD_OF_REVIEW), "{requests:?}");
        }
        for (namespace, name) in [("..", "build-1"), ("ci", "a/b"), ("ci", "a b"), ("", "")] {
            let (result, requests) = authenticate_claiming(
                namespace,
                name,
                FakeApiServer::with_review_and_read(&good, (200, &pod("u"))).await,
            )
            .await;
            assert!(result.is_ok());
            assert_eq!(requests, [POD_OF_REVIEW, REVIEW], "no name of a pod: {namespace} {name}");
        }
    }

    #[tokio::test]
    async fn a_claimed_pod_is_not_read_for_an_address_with_refusals() {
        let good = review(&json!({}));
        let address = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        for history in [AddressHistory::failing(address), AddressHistory::exhausted(address)] {
            let fake = FakeApiServer::with_review_and_read(&good, (200, &pod("u"))).await;
            let (result, requests) = authenticate_claiming_from(history, "other", "build-1", fake).await;
            assert!(result.is_ok());
            assert_eq!(requests, [POD_OF_REVIEW, REVIEW], "only the pod of the review is read");
        }
    }

    #[tokio::test]
    async fn a_refusal_does_not_wait_for_the_claimed_pod_but_an_acceptance_does() {
        let bad = review(&json!({"authenticated": false}));
        let (result, requests) = authenticate_claiming("ci", "build-1", FakeApiServer::with_review(&bad).await).await;
        assert_eq!(result, Err(AuthnError::Refused(TokenRefusal::NotAuthenticated)));
        assert!(requests.iter().any(|line| line == REVIEW));
        // A token that the review accepts is not accepted before the pod is read.
        let good = review(&json!({}));
        let fake = FakeApiServer::with_review(&good).await;
        tokio::time::pause();
        assert_eq!(authenticate_claiming("ci", "build-1", fake).await.0, Err(AuthnError::Unavailable));
        tokio::time::resume();
        assert!(
            authenticate_claiming("ci", "build-1", FakeApiServer::with_review_and_read(&good, (200, &pod("u"))).await)
                .await
                .0
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_service_account_token_without_a_pod_is_admitted_only_with_its_audience() {
        let (ours, eso) = ("claviger", "claviger-eso");
        for (audiences, username, admitted) in [
            (json!([eso]), "system:serviceaccount:ci:build-bot", true),
            (json!([ours, eso]), "system:serviceaccount:ci:build-bot", true),
            (json!([ours]), "system:serviceaccount:ci:build-bot", false),
            (json!([eso]), "alice", false),
            (json!([eso]), "system:serviceaccount:ci", false),
        ] {
            let user =
                json!({"username": username, "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]}});
            let result = review(&json!({"audiences": audiences, "user": user}));
            let rig = Rig::new(FakeApiServer::with_review_and_read(&result, (404, "")).await, Duration::ZERO).await;
            let token = SecretValue::new(token_with_claims(&json!({"aud": audiences, "exp": NOW + 600})));
            match rig.authenticate(&token).await {
                Ok(caller) => {
                    assert!(admitted, "{audiences} {username}");
                    assert_eq!((caller.service_account(), &caller.workload), (Some(("ci", "build-bot")), &None));
                }
                Err(AuthnError::NotPodBound(caller)) => {
                    assert!(!admitted && caller.subject == username, "{audiences} {username}");
                }
                other => panic!("{audiences} {username}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_pod_token_is_accepted_with_either_audience_but_administers_only_with_the_main_one() {
        for (audiences, may_administer) in
            [(json!(["claviger-eso"]), false), (json!(["claviger", "claviger-eso"]), true)]
        {
            let result = review(&json!({"audiences": audiences}));
            let rig =
                Rig::new(FakeApiServer::with_review_and_read(&result, (200, &pod("u"))).await, Duration::ZERO).await;
            let token = SecretValue::new(token_with_claims(&json!({"aud": audiences, "exp": NOW + 600})));
            let token = UnverifiedToken::parse(BearerToken::new(&token)).expect("a token");
            let applicant = rig.authenticator.authenticate_applicant(&token, CLEAN).await.expect("a running pod");
            assert!(applicant.caller.workload.is_some() && applicant.caller.unbound_account.is_none(), "{audiences}");
            assert_eq!(applicant.user.is_some(), may_administer, "{audiences}");
        }
    }

    #[tokio::test]
    async fn one_review_serves_builds_and_administration_but_a_build_needs_a_pod() {
        let fake =
            FakeApiServer::with_review_and_read(&review(&json!({"user": {"username": "alice"}})), (404, "")).await;
        let (rig, token) = (Rig::new(fake, Duration::from_secs(10)).await, token(600));
        let unverified = UnverifiedToken::parse(BearerToken::new(&token)).expect("a token");
        assert!(rig.authenticator.authenticate_applicant(&unverified, CLEAN).await.is_ok());
        assert!(matches!(rig.authenticate(&token).await, Err(AuthnError::NotPodBound(_))));
        assert!(rig.authenticator.cached(BearerToken::new(&token).fingerprint()).await.is_some());
        assert_eq!(rig.reviews(), "1");
    }

    #[tokio::test]
    async fn an_identity_is_not_cached_beyond_the_expiry_of_its_token() {
        for (lifetime_seconds, ttl, cached_seconds) in [(3, 10, 3), (600, 10, 10), (3, 0, 0)] {
            let fake = FakeApiServer::with_review_and_read(&review(&json!({})), (200, &pod("u"))).await;
            let (rig, token) = (Rig::new(fake, Duration::from_secs(ttl)).await, token(lifetime_seconds));
            assert!(rig.authenticate(&token).await.is_ok());
            if cached_seconds > 0 {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(cached_seconds - 1)).await;
                tokio::time::resume();
                assert!(rig.authenticate(&token).await.is_ok());
                assert_eq!(rig.reviews(), "1", "{lifetime_seconds} {ttl}");
            }
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::time::resume();
            assert!(rig.authenticate(&token).await.is_ok());
            assert_eq!(rig.reviews(), "2", "{lifetime_seconds} {ttl}");
        }
    }

    #[tokio::test]
    async fn an_expired_token_causes_no_call() {
        let rig = Rig::new(FakeApiServer::unreachable().await, Duration::ZERO).await;
        assert_eq!(rig.authenticate(&token(-60)).await, Err(AuthnError::Refused(TokenRefusal::Expired)));
        assert_eq!(rig.reviews(), "0");
        assert_eq!(rig.authenticate(&token(600)).await, Err(AuthnError::Unavailable));
        assert_eq!(rig.reviews(), "1");
    }

    #[tokio::test]
    async fn a_token_of_another_issuer_causes_no_call() {
        let fake = FakeApiServer::with_review_and_read(&review(&json!({})), (200, &pod("u"))).await;
        let rig = Rig::with_issuer(fake, Duration::ZERO, Some("https://own")).await;
        let unknown = Err(AuthnError::Refused(TokenRefusal::UnknownIssuer));
        for iss in [json!("https://other"), json!("https://own/"), json!(""), json!(null), json!(["https://own"])] {
            let token = token_with_claims(&json!({"iss": iss, "aud": ["claviger"], "exp": NOW + 600}));
            assert_eq!(rig.authenticate(&SecretValue::new(token)).await, unknown, "{iss}");
        }
        assert_eq!(rig.reviews(), "0");
        assert!(rig.authenticate(&token(600)).await.is_ok());
        assert_eq!(rig.reviews(), "1");
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn tokens_are_not_logged_even_at_trace() {
        let (log, token, text) = (Log::default(), token(600), token_text(600));
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        // With only one subscriber, a log line that a thread of another test reaches first is disabled for all
        // tests.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let _guard = tracing::subscriber::set_default(subscriber);
        let quoting = format!("{{\"kind\":\"Status\",\"message\":\"{text}\"}}");
        let good = (review(&json!({})), pod("u"));
        for fake in [
            FakeApiServer::with_review_and_read(&good.0, (200, &good.1)).await,
            FakeApiServer::with_review_and_read(&good.0, (500, &quoting)).await,
            FakeApiServer::responding(201, &quoting).await,
            FakeApiServer::responding(403, &quoting).await,
            FakeApiServer::unreachable().await,
        ] {
            let _ = Rig::new(fake, Duration::ZERO).await.authenticate(&token).await;
        }
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("credentials") && log.contains("requesting"), "lines of Claviger and of kube: {log}");
        for encoding in [&text, &STANDARD.encode(&text), &URL_SAFE_NO_PAD.encode(&text)] {
            assert!(!log.contains(encoding.as_str()));
        }
        assert!(!log.contains("canary-own-token"), "the broker's own token");
    }
}
