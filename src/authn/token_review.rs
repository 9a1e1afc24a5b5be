//! Kubernetes: a TokenReview, and for a token that is bound to a pod the pod's state. A user of the admin API may be any user
//! that the API server authenticates.

use super::bound_pod::{names_a_pod, service_account, workload};
use super::error::{AuthnError, CannotAsk, TokenRefusal};
use super::port::Authenticator;
use super::recent::{Answer, Recent};
use super::review_gate::{AddressHistory, ReviewGate};
use super::unverified::{Fingerprint, UnverifiedToken};
use crate::cluster::token_review::{PodName, PodRead, Review, ReviewBesidePod, User};
use crate::cluster::{CallFailure, Cluster, ClusterError};
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
    recent: Arc<Recent<Applicant>>,
    gate: Arc<ReviewGate>,
    clock: Arc<dyn Clock>,
}

/// The dependencies of a review. It is shared with the tasks in which reviews run.
struct Reviewer {
    name: Arc<str>,
    audience: String,
    /// Admits tokens that are bound to no pod.
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
        let recent = Arc::new(Recent::new(config.cache_ttl));
        Self { reviewer, cache_ttl: config.cache_ttl, recent, gate, clock }
    }

    /// Checks the claims, before any call.
    fn examine(&self, token: &UnverifiedToken<'_>) -> Result<(), TokenRefusal> {
        if self.reviewer.issuer.as_deref().is_some_and(|issuer| token.text_claim("iss") != Some(issuer)) {
            return Err(TokenRefusal::UnknownIssuer);
        }
        token.check(|audience| self.reviewer.accepts(audience), self.clock.now())
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

    async fn authenticate(&self, token: &UnverifiedToken<'_>, history: AddressHistory) -> Answer<Arc<Caller>> {
        require_bound_pod(self.authenticate_applicant(token, history).await?)
    }

    async fn authenticate_applicant(&self, token: &UnverifiedToken<'_>, history: AddressHistory) -> Answer<Applicant> {
        self.examine(token).map_err(AuthnError::Refused)?;
        let left = token.expires_at().saturating_sub(self.clock.now().as_second());
        let keep = self.cache_ttl.min(Duration::from_secs(left.try_into().unwrap_or(0)));
        let fingerprint = *token.fingerprint();
        let review = || {
            let (reviewer, bearer, recent) = (self.reviewer.clone(), token.bearer().clone(), self.recent.clone());
            let (gate, claims, claimed) = (self.gate.clone(), token.claims_fingerprint(), token.claimed_pod());
            async move {
                if !recent.was_accepted_before(&fingerprint).await {
                    gate.enter(history, &claims).await?;
                }
                let answer = reviewer.review(&bearer, claimed.as_ref()).await;
                if answer == Err(AuthnError::Refused(TokenRefusal::NotAuthenticated)) {
                    gate.forged(history, &claims);
                }
                answer
            }
        };
        self.recent.answer(fingerprint, keep, review).await
    }

    /// A cached identity had the right audience, and is not cached for longer than its token is valid.
    async fn cached(&self, token: &Fingerprint) -> Option<Applicant> {
        self.recent.cached(token).await?.ok()
    }

    async fn reload(&self) {
        self.reviewer.cluster.reload_if_changed();
    }

    async fn check_online(&self) -> Result<(), CannotAsk> {
        let garbage = SecretValue::new("not-a-token".into());
        self.reviewer.cluster.token_review(&garbage, &[&self.reviewer.audience]).await?;
        // The broker's own credentials are for the API server.
        if self.reviewer.cluster.takes_own_token(&self.reviewer.audience).await? {
            return Err(CannotAsk::OwnAudience);
        }
        match &self.reviewer.unbound_audience {
            Some(audience) if self.reviewer.cluster.takes_own_token(audience).await? => {
                Err(CannotAsk::OwnUnboundAudience)
            }
            _ => Ok(()),
        }
    }
}

/// Only a token that is bound to a pod may build, or one that is admitted without.
fn require_bound_pod(applicant: Applicant) -> Answer<Arc<Caller>> {
    let Applicant { caller, .. } = applicant;
    if caller.service_account().is_some() { Ok(caller) } else { Err(not_pod_bound(&caller)) }
}

/// The refusal of a valid token. The caller in it is used only for the audit event, which names the ServiceAccount.
fn not_pod_bound(caller: &Caller) -> AuthnError {
    let unbound = service_account(&caller.subject);
    AuthnError::NotPodBound(Arc::new(Caller { unbound, ..Caller::clone(caller) }))
}

impl Reviewer {
    fn accepts(&self, audience: &str) -> bool {
        audience == self.audience || self.unbound_audience.as_deref() == Some(audience)
    }

    /// Reviews a token, and reads the pod that its claims name at the same time. The read counts only if the review names the same
    /// pod.
    async fn review(&self, bearer: &SecretValue, claimed: Option<&PodName>) -> Answer<Applicant> {
        let audiences: Vec<&str> =
            iter::once(&self.audience).chain(&self.unbound_audience).map(String::as_str).collect();
        let answer = if let Some(claimed) = claimed {
            self.cluster.token_review_beside(bearer, &audiences, claimed).await
        } else {
            let review = self.cluster.token_review(bearer, &audiences).await;
            review.map(|review| ReviewBesidePod { review, pod: None })
        };
        let ReviewBesidePod { review, pod } = answer.map_err(|error| self.unavailable(error))?;
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
                let read = pod.filter(|_| claimed.is_some_and(|claimed| claimed.is_of(&workload)));
                self.check_pod(user, workload, read).await
            }
            // The claims of a pod are incomplete or ambiguous.
            None if names_a_pod(&user) => Err(not_pod_bound(&self.applicant(user, None, None).caller)),
            None => {
                let is_admitted =
                    self.unbound_audience.as_ref().is_some_and(|audience| user.audiences.contains(audience));
                let unbound = if is_admitted { service_account(&user.username) } else { None };
                Ok(self.applicant(user, None, unbound))
            }
        }
    }

    async fn check_pod(&self, user: User, workload: Workload, read: Option<PodRead>) -> Answer<Applicant> {
        let pod = match read {
            Some(pod) => pod,
            None => self.cluster.pod(&workload.namespace, &workload.pod.name).await,
        };
        match pod.map_err(|error| self.unavailable(error))? {
            Some(pod) if pod.is_running_as(&workload) => Ok(self.applicant(user, Some(workload), None)),
            _ => Err(AuthnError::Refused(TokenRefusal::PodGone)),
        }
    }

    fn applicant(&self, user: User, workload: Option<Workload>, unbound: Option<ServiceAccount>) -> Applicant {
        let User { audiences, username, uid, groups, extra } = user;
        // A token that is only for callers without a pod administers nothing.
        let administers = audiences.contains(&self.audience);
        Applicant {
            caller: Arc::new(Caller {
                issuer: self.name.clone(),
                subject: username.clone(),
                groups: groups.clone(),
                workload,
                unbound,
                claims: serde_json::Map::new(),
            }),
            user: administers.then(|| Arc::new(ReviewedUser { username, uid, groups, extra })),
        }
    }

    fn unavailable(&self, error: ClusterError) -> AuthnError {
        let (authenticator, ClusterError::Unavailable(trouble)) = (&*self.name, error);
        if trouble == CallFailure::Credentials {
            tracing::error!(
                authenticator,
                trouble = trouble.as_str(),
                "the API server rejects the broker's credentials or RBAC; no token can be reviewed"
            );
        } else {
            tracing::warn!(authenticator, trouble = trouble.as_str(), "a TokenReview failed");
        }
        AuthnError::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::unverified::BearerToken;
    use crate::cluster::fake::Fake;
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

    fn token(lives: i64) -> SecretValue {
        SecretValue::new(token_text(lives))
    }

    fn token_text(lives: i64) -> String {
        with_claims(&json!({"iss": "https://own", "aud": ["claviger"], "exp": NOW + lives}))
    }

    fn with_claims(claims: &Value) -> String {
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

    struct Desk {
        authenticator: TokenReview,
        metrics: Arc<Metrics>,
    }

    impl Desk {
        async fn before(fake: Fake, cache_ttl: Duration) -> Self {
            Self::of_issuer(fake, cache_ttl, None).await
        }

        async fn of_issuer(fake: Fake, cache_ttl: Duration, issuer: Option<&str>) -> Self {
            let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
            let cluster = Arc::new(fake.cluster_counting(metrics.clone()).await);
            let (audience, issuer) = ("claviger".into(), issuer.map(str::to_owned));
            let unbound_audience = Some("claviger-eso".to_owned());
            let config = config::Kubernetes { audience, unbound_audience, issuer, kubeconfig: None, cache_ttl };
            let gate = Arc::new(ReviewGate::new(std::num::NonZeroU32::MAX));
            let authenticator = TokenReview::new("cluster".into(), &config, cluster, gate, Arc::new(FixedClock));
            Self { authenticator, metrics }
        }

        async fn asks(&self, token: &SecretValue) -> Answer<Arc<Caller>> {
            let token = UnverifiedToken::read(BearerToken::new(token)).map_err(AuthnError::Refused)?;
            self.authenticator.authenticate(&token, CLEAN).await
        }

        fn reviews(&self) -> String {
            let text = String::from_utf8(self.metrics.encode().unwrap()).unwrap();
            let count =
                text.lines().find_map(|line| line.strip_prefix("claviger_token_review_duration_seconds_count "));
            count.unwrap().to_owned()
        }
    }

    async fn verdict(review: &str, read: (u16, &str)) -> Result<String, AuthnError> {
        let desk = Desk::before(Fake::saying(review, read).await, Duration::ZERO).await;
        desk.asks(&token(600)).await.map(|caller| caller.subject.clone())
    }

    #[tokio::test]
    async fn the_audience_the_user_and_the_pod_must_all_be_right() {
        let (good, running) = (review(&json!({})), pod("u"));
        let subject = "system:serviceaccount:ci:build-bot".to_owned();
        assert_eq!(verdict(&good, (200, &running)).await, Ok(subject));

        for audiences in [json!([]), json!(null), json!(["other"]), json!(["claviger2"])] {
            let refused = Err(AuthnError::Refused(TokenRefusal::WrongAudience));
            assert_eq!(verdict(&review(&json!({"audiences": audiences})), (200, &running)).await, refused);
        }
        let human = review(&json!({"user": {"username": "alice"}}));
        assert!(matches!(verdict(&human, (200, &running)).await, Err(AuthnError::NotPodBound(_))));
        let bad = review(&json!({"authenticated": false}));
        assert_eq!(verdict(&bad, (200, &running)).await, Err(AuthnError::Refused(TokenRefusal::NotAuthenticated)));

        let gone = Err(AuthnError::Refused(TokenRefusal::PodGone));
        assert_eq!(verdict(&good, (404, r#"{"kind":"Status","reason":"NotFound"}"#)).await, gone);
        assert_eq!(verdict(&good, (200, &pod("other"))).await, gone);
        assert_eq!(verdict(&good, (500, "")).await, Err(AuthnError::Unavailable));
    }

    async fn applies(review: &str, read: (u16, &str)) -> Result<Applicant, AuthnError> {
        let desk = Desk::before(Fake::saying(review, read).await, Duration::ZERO).await;
        let token = token(600);
        let token = UnverifiedToken::read(BearerToken::new(&token)).map_err(AuthnError::Refused)?;
        desk.authenticator.authenticate_applicant(&token, CLEAN).await
    }

    #[tokio::test]
    async fn whoever_asks_to_administer_need_not_be_a_pod_but_a_pod_must_be_at_work() {
        let user = json!({"username": "alice", "uid": "7", "groups": ["a"], "extra": {"k": ["v"]}});
        let alice = applies(&review(&json!({"user": user})), (404, "")).await.expect("alice");
        let expected = ReviewedUser {
            username: "alice".into(),
            uid: "7".into(),
            groups: vec!["a".into()],
            extra: [("k".into(), vec!["v".into()])].into(),
        };
        assert_eq!((alice.user.as_deref(), alice.caller.subject.as_str()), (Some(&expected), "alice"));
        assert_eq!(alice.caller.workload, None);

        let pod_bound = review(&json!({}));
        assert!(applies(&pod_bound, (200, &pod("u"))).await.expect("at work").caller.workload.is_some());
        let gone = Some(AuthnError::Refused(TokenRefusal::PodGone));
        assert_eq!(applies(&pod_bound, (200, &pod("other"))).await.err(), gone);
        let half = json!({"username": "system:serviceaccount:ci:build-bot",
            "extra": {"authentication.kubernetes.io/pod-name": ["build-1"]}});
        let half = applies(&review(&json!({"user": half})), (200, &pod("u"))).await.err();
        assert!(matches!(half, Some(AuthnError::NotPodBound(_))), "{half:?}");
        let elsewhere = review(&json!({"user": user, "audiences": ["other"]}));
        let refused = Some(AuthnError::Refused(TokenRefusal::WrongAudience));
        assert_eq!(applies(&elsewhere, (404, "")).await.err(), refused);
    }

    /// A token that claims to be bound to this pod, and the requests that it causes.
    async fn claiming(namespace: &str, name: &str, fake: Fake) -> (Answer<Arc<Caller>>, Vec<String>) {
        let seen = fake.seen();
        let claims = json!({"aud": ["claviger"], "exp": NOW + 600,
            "kubernetes.io": {"namespace": namespace, "pod": {"name": name, "uid": "u"}}});
        let desk = Desk::before(fake, Duration::ZERO).await;
        let answer = desk.asks(&SecretValue::new(with_claims(&claims))).await;
        (answer, seen.lines())
    }

    const REVIEW: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1";
    const OF_THE_REVIEW: &str = "GET /api/v1/namespaces/ci/pods/build-1 HTTP/1.1";

    #[tokio::test]
    async fn the_claimed_pod_is_read_beside_the_review_and_counts_only_if_it_is_the_reviewed_one() {
        let good = review(&json!({}));
        let (answer, seen) = claiming("ci", "build-1", Fake::saying(&good, (200, &pod("u"))).await).await;
        assert!(answer.is_ok());
        assert_eq!(seen, [OF_THE_REVIEW, REVIEW], "the pod is read once");
        let (answer, _) = claiming("ci", "build-1", Fake::saying(&good, (200, &pod("other"))).await).await;
        assert_eq!(answer, Err(AuthnError::Refused(TokenRefusal::PodGone)));

        for (namespace, name) in [("other", "build-1"), ("ci", "build-2")] {
            let (answer, seen) = claiming(namespace, name, Fake::saying(&good, (200, &pod("u"))).await).await;
            assert!(answer.is_ok(), "the pod of the review is read");
            assert!(seen.len() == 3 && seen.iter().any(|line| line == OF_THE_REVIEW), "{seen:?}");
        }
        for (namespace, name) in [("..", "build-1"), ("ci", "a/b"), ("ci", "a b"), ("", "")] {
            let (answer, seen) = claiming(namespace, name, Fake::saying(&good, (200, &pod("u"))).await).await;
            assert!(answer.is_ok());
            assert_eq!(seen, [OF_THE_REVIEW, REVIEW], "no name of a pod: {namespace} {name}");
        }
    }

    #[tokio::test]
    async fn a_refusal_does_not_wait_for_the_claimed_pod() {
        let bad = review(&json!({"authenticated": false}));
        let (answer, seen) = claiming("ci", "build-1", Fake::only_reviewing(&bad).await).await;
        assert_eq!(answer, Err(AuthnError::Refused(TokenRefusal::NotAuthenticated)));
        assert!(seen.iter().any(|line| line == REVIEW));
        // A token that the review accepts is not accepted without an answer about the pod.
        let (good, fake) = (review(&json!({})), Fake::only_reviewing(&review(&json!({}))).await);
        tokio::time::pause();
        assert_eq!(claiming("ci", "build-1", fake).await.0, Err(AuthnError::Unavailable));
        tokio::time::resume();
        assert!(claiming("ci", "build-1", Fake::saying(&good, (200, &pod("u"))).await).await.0.is_ok());
    }

    #[tokio::test]
    async fn a_token_without_a_pod_is_admitted_only_with_its_own_audience_and_only_of_a_service_account() {
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
            let answer = review(&json!({"audiences": audiences, "user": user}));
            let desk = Desk::before(Fake::saying(&answer, (404, "")).await, Duration::ZERO).await;
            let token = SecretValue::new(with_claims(&json!({"aud": audiences, "exp": NOW + 600})));
            match desk.asks(&token).await {
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
    async fn a_token_of_a_pod_stays_the_pods_with_either_audience_and_only_ours_administers() {
        for (audiences, administers) in [(json!(["claviger-eso"]), false), (json!(["claviger", "claviger-eso"]), true)]
        {
            let answer = review(&json!({"audiences": audiences}));
            let desk = Desk::before(Fake::saying(&answer, (200, &pod("u"))).await, Duration::ZERO).await;
            let token = SecretValue::new(with_claims(&json!({"aud": audiences, "exp": NOW + 600})));
            let token = UnverifiedToken::read(BearerToken::new(&token)).expect("a token");
            let applicant = desk.authenticator.authenticate_applicant(&token, CLEAN).await.expect("at work");
            assert!(applicant.caller.workload.is_some() && applicant.caller.unbound.is_none(), "{audiences}");
            assert_eq!(applicant.user.is_some(), administers, "{audiences}");
        }
    }

    #[tokio::test]
    async fn one_review_serves_both_purposes_and_still_builds_nothing_without_a_pod() {
        let fake = Fake::saying(&review(&json!({"user": {"username": "alice"}})), (404, "")).await;
        let (desk, token) = (Desk::before(fake, Duration::from_secs(10)).await, token(600));
        let unverified = UnverifiedToken::read(BearerToken::new(&token)).expect("a token");
        assert!(desk.authenticator.authenticate_applicant(&unverified, CLEAN).await.is_ok());
        assert!(matches!(desk.asks(&token).await, Err(AuthnError::NotPodBound(_))));
        assert!(desk.authenticator.cached(BearerToken::new(&token).fingerprint()).await.is_some());
        assert_eq!(desk.reviews(), "1");
    }

    #[tokio::test]
    async fn nothing_is_believed_beyond_the_tokens_own_end() {
        for (lives, ttl, believed) in [(3, 10, 3), (600, 10, 10), (3, 0, 0)] {
            let fake = Fake::saying(&review(&json!({})), (200, &pod("u"))).await;
            let (desk, token) = (Desk::before(fake, Duration::from_secs(ttl)).await, token(lives));
            assert!(desk.asks(&token).await.is_ok());
            if believed > 0 {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(believed - 1)).await;
                tokio::time::resume();
                assert!(desk.asks(&token).await.is_ok());
                assert_eq!(desk.reviews(), "1", "{lives} {ttl}");
            }
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::time::resume();
            assert!(desk.asks(&token).await.is_ok());
            assert_eq!(desk.reviews(), "2", "{lives} {ttl}");
        }
    }

    #[tokio::test]
    async fn what_is_not_ours_costs_no_call() {
        let desk = Desk::before(Fake::absent().await, Duration::ZERO).await;
        assert_eq!(desk.asks(&token(-60)).await, Err(AuthnError::Refused(TokenRefusal::Expired)));
        assert_eq!(desk.reviews(), "0");
        assert_eq!(desk.asks(&token(600)).await, Err(AuthnError::Unavailable));
        assert_eq!(desk.reviews(), "1");
    }

    #[tokio::test]
    async fn a_token_of_another_issuer_costs_no_call() {
        let fake = Fake::saying(&review(&json!({})), (200, &pod("u"))).await;
        let desk = Desk::of_issuer(fake, Duration::ZERO, Some("https://own")).await;
        let unknown = Err(AuthnError::Refused(TokenRefusal::UnknownIssuer));
        for iss in [json!("https://other"), json!("https://own/"), json!(""), json!(null), json!(["https://own"])] {
            let token = with_claims(&json!({"iss": iss, "aud": ["claviger"], "exp": NOW + 600}));
            assert_eq!(desk.asks(&SecretValue::new(token)).await, unknown, "{iss}");
        }
        assert_eq!(desk.reviews(), "0");
        assert!(desk.asks(&token(600)).await.is_ok());
        assert_eq!(desk.reviews(), "1");
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
    async fn no_log_has_the_token_even_with_everything_at_trace() {
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
            Fake::saying(&good.0, (200, &good.1)).await,
            Fake::saying(&good.0, (500, &quoting)).await,
            Fake::answering(201, &quoting).await,
            Fake::answering(403, &quoting).await,
            Fake::absent().await,
        ] {
            let _ = Desk::before(fake, Duration::ZERO).await.asks(&token).await;
        }
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("credentials") && log.contains("requesting"), "ours and kube's lines are there: {log}");
        for spelling in [&text, &STANDARD.encode(&text), &URL_SAFE_NO_PAD.encode(&text)] {
            assert!(!log.contains(spelling.as_str()));
        }
        assert!(!log.contains("canary-own-token"), "nor our own token");
    }
}
