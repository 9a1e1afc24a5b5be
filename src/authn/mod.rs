//! Stage 1, authentication: a bearer token becomes a caller.

mod bound_pod;
mod discovery;
mod error;
mod issuer_keys;
mod jwks;
mod key_file;
mod key_source;
mod oidc;
mod port;
mod review_cache;
mod review_gate;
mod strict_json;
mod token_lifetime;
mod token_review;
mod unverified_token;

pub use discovery::KeyFetchError;
pub use error::{AuthnError, OnlineCheckError, TokenRefusal};
pub use port::Authenticator;
use port::without_review;
pub use review_gate::AddressHistory;
pub use token_lifetime::TokenLifetime;
pub use unverified_token::{BearerToken, UnverifiedToken};

use crate::cluster::Clusters;
use crate::config::authenticators::{self as config, Kind};
use crate::document::Fault;
use crate::metrics::Metrics;
use crate::metrics::NO_AUTHENTICATOR;
use crate::metrics::labels::AuthenticationOutcome;
use crate::model::applicant::Applicant;
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use review_gate::ReviewGate;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Checks the files of the OIDC authenticators, without a call to an issuer. Does blocking I/O.
#[must_use]
pub fn check_files(configured: &[config::Authenticator]) -> Vec<Fault> {
    let check = |(index, config::Authenticator { name, kind }): (usize, &config::Authenticator)| match kind {
        Kind::Oidc(oidc) => key_source::KeySource::check(name, oidc).err().map(|error| error.into_fault(index)),
        Kind::Kubernetes(_) => None,
    };
    configured.iter().enumerate().filter_map(check).collect()
}

/// The intended use of a token. A Kubernetes token for a build must be bound to a pod, unless the configuration admits it without
/// one.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Build,
    Administer,
}

impl Purpose {
    /// Whether a cached applicant may use its token for this purpose. Only Kubernetes applicants are cached.
    fn accepts(self, applicant: &Applicant) -> bool {
        matches!(self, Self::Administer) || applicant.caller.service_account().is_some()
    }
}

/// The configured authenticators, in their order.
pub struct Authenticators {
    all: Vec<Box<dyn Authenticator>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Authenticators {
    /// Opens the authenticators. `reviews_per_second` is the limit, over all clusters together, for reviews of tokens that were not
    /// accepted before.
    ///
    /// # Errors
    /// Every fault, with its JSON pointer in the configuration.
    pub fn open(
        configured: &[config::Authenticator],
        reviews_per_second: NonZeroU32,
        clusters: &Clusters,
        clock: &Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Vec<Fault>> {
        let gate = Arc::new(ReviewGate::new(reviews_per_second));
        let mut all: Vec<Box<dyn Authenticator>> = Vec::new();
        let mut faults = Vec::new();
        for (index, config::Authenticator { name, kind }) in configured.iter().enumerate() {
            let pointer = format!("/authenticators/{index}");
            match kind {
                Kind::Kubernetes(kubernetes) => match clusters.get(kubernetes.kubeconfig.as_deref()) {
                    Some(cluster) => {
                        let (name, gate, clock) = (name.clone(), gate.clone(), clock.clone());
                        all.push(Box::new(token_review::TokenReview::new(name, kubernetes, cluster, gate, clock)));
                    }
                    None => {
                        faults.push(Fault::new(format!("{pointer}/kubernetes"), "there is no client for this cluster"));
                    }
                },
                Kind::Oidc(oidc) => match oidc::Oidc::open(name.clone(), oidc.clone(), clock.clone()) {
                    Ok(authenticator) => all.push(Box::new(authenticator)),
                    Err(error) => faults.push(error.into_fault(index)),
                },
            }
        }
        if faults.is_empty() { Ok(Self { all, clock: clock.clone(), metrics }) } else { Err(faults) }
    }

    /// Authenticates a build. A Kubernetes token must be bound to a pod, unless the configuration admits it without one.
    ///
    /// # Errors
    /// See [`AuthnError`].
    pub async fn authenticate(
        &self,
        token: BearerToken<'_>,
        history: AddressHistory,
    ) -> Result<Arc<Caller>, AuthnError> {
        self.authenticate_for(token, Purpose::Build, history).await.map(|applicant| applicant.caller)
    }

    /// Authenticates a user of the admin API, whose token need not be bound to a pod.
    ///
    /// # Errors
    /// See [`AuthnError`].
    pub async fn authenticate_applicant(
        &self,
        token: BearerToken<'_>,
        history: AddressHistory,
    ) -> Result<Applicant, AuthnError> {
        self.authenticate_for(token, Purpose::Administer, history).await
    }

    /// The cached caller of a build's token. `None` if it is not cached, or not admitted for builds. Neither parses the token
    /// nor calls an API server.
    pub async fn cached_caller(&self, token: BearerToken<'_>) -> Option<Arc<Caller>> {
        self.cached_for(token, Purpose::Build).await.map(|applicant| applicant.caller)
    }

    /// Like [`Authenticators::cached_caller`], for a user of the admin API.
    pub async fn cached_applicant(&self, token: BearerToken<'_>) -> Option<Applicant> {
        self.cached_for(token, Purpose::Administer).await
    }

    /// The lifetime of an authenticated token. `None` if it is not a JWT with an `exp`.
    #[must_use]
    pub fn lifetime_of(&self, token: BearerToken<'_>) -> Option<TokenLifetime> {
        TokenLifetime::of(token, self.clock.now())
    }

    /// The cached identity of a token, counted as an authentication.
    async fn cached_for(&self, token: BearerToken<'_>, purpose: Purpose) -> Option<Applicant> {
        let (name, applicant) = self.find_cached(token, purpose).await?;
        self.metrics.count_authentication(name, AuthenticationOutcome::Ok);
        Some(applicant)
    }

    /// The cached identity of a token, with the name of the authenticator that has cached it.
    async fn find_cached(&self, token: BearerToken<'_>, purpose: Purpose) -> Option<(&str, Applicant)> {
        for authenticator in &self.all {
            if let Some(applicant) = authenticator.cached(token.fingerprint()).await
                && purpose.accepts(&applicant)
            {
                return Some((authenticator.name(), applicant));
            }
        }
        None
    }

    async fn authenticate_for(
        &self,
        token: BearerToken<'_>,
        purpose: Purpose,
        history: AddressHistory,
    ) -> Result<Applicant, AuthnError> {
        if let Some(applicant) = self.cached_for(token, purpose).await {
            return Ok(applicant);
        }
        let (name, result) = match UnverifiedToken::parse(token) {
            Ok(token) => self.ask_authenticators(&token, purpose, history).await,
            Err(refusal) => (NO_AUTHENTICATOR, Err(AuthnError::Refused(refusal))),
        };
        let outcome = match result {
            Ok(_) => AuthenticationOutcome::Ok,
            // Any client can cause these errors, so they do not count as failures of the authenticator.
            Err(AuthnError::Refused(_) | AuthnError::NotPodBound(_) | AuthnError::Limited | AuthnError::UnknownKey) => {
                AuthenticationOutcome::Denied
            }
            Err(AuthnError::Unavailable) => AuthenticationOutcome::Failed,
        };
        self.metrics.count_authentication(name, outcome);
        result
    }

    /// Asks the authenticators of the token's issuer, in order, until one accepts the token. Returns the result with the name of
    /// the authenticator that decided. The unverified `iss` only selects the authenticators: the API server of one cluster never
    /// sees a token of another cluster.
    async fn ask_authenticators(
        &self,
        token: &UnverifiedToken<'_>,
        purpose: Purpose,
        history: AddressHistory,
    ) -> (&str, Result<Applicant, AuthnError>) {
        let (mut decided_by, mut refusal) = (NO_AUTHENTICATOR, AuthnError::Refused(TokenRefusal::UnknownIssuer));
        for authenticator in self.authenticators_for(token.string_claim("iss")) {
            let name = &**authenticator.name();
            let result = match purpose {
                Purpose::Build => authenticator.authenticate(token, history).await.map(without_review),
                Purpose::Administer => authenticator.authenticate_applicant(token, history).await,
            };
            match result {
                Ok(applicant) => return (name, Ok(applicant)),
                // The authenticator knows the token, so no other one is asked.
                Err(error @ (AuthnError::NotPodBound(_) | AuthnError::Refused(TokenRefusal::PodGone))) => {
                    return (name, Err(error));
                }
                Err(error) if priority(&error) > priority(&refusal) => (decided_by, refusal) = (name, error),
                Err(_) => {}
            }
        }
        (decided_by, Err(refusal))
    }

    /// The authenticators that are configured with this issuer. If there are none, those that are configured without an issuer.
    fn authenticators_for<'a>(&'a self, issuer: Option<&str>) -> impl Iterator<Item = &'a dyn Authenticator> {
        let issuer =
            issuer.filter(|issuer| self.all.iter().any(|authenticator| authenticator.issuer() == Some(issuer)));
        self.all.iter().map(AsRef::as_ref).filter(move |authenticator| authenticator.issuer() == issuer)
    }

    /// Reloads files on SIGHUP. An invalid file does not replace a valid one.
    pub async fn reload(&self) {
        for authenticator in &self.all {
            authenticator.reload().await;
        }
    }

    /// Checks that every API server reviews tokens, and that every issuer serves its keys.
    ///
    /// # Errors
    /// A fault for each authenticator that fails, with its JSON pointer in the configuration.
    pub async fn check_online(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for (index, authenticator) in self.all.iter().enumerate() {
            if let Err(error) = authenticator.check_online().await {
                faults.push(Fault::new(format!("/authenticators/{index}"), error.to_string()));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// If no authenticator accepts the token, the error with the highest priority is returned. A failed call comes first, because the
/// token may be valid. A refusal by signature comes before a refusal by audience, because more was checked.
const fn priority(error: &AuthnError) -> u8 {
    match error {
        AuthnError::Refused(TokenRefusal::UnknownIssuer) => 0,
        AuthnError::Refused(TokenRefusal::WrongAudience) => 1,
        AuthnError::Refused(TokenRefusal::Malformed | TokenRefusal::Expired) => 2,
        AuthnError::Refused(TokenRefusal::NotAuthenticated | TokenRefusal::PodGone) | AuthnError::NotPodBound(_) => 3,
        AuthnError::Limited | AuthnError::UnknownKey => 4,
        AuthnError::Unavailable => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::unverified_token::Fingerprint;
    use crate::model::clock::SystemClock;
    use crate::model::secret::SecretValue;
    use async_trait::async_trait;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// Returns the same result for every token.
    struct FixedResult {
        name: Arc<str>,
        issuer: Option<&'static str>,
        result: Result<(), AuthnError>,
    }

    #[async_trait]
    impl Authenticator for FixedResult {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn issuer(&self) -> Option<&str> {
            self.issuer
        }

        async fn authenticate(&self, _: &UnverifiedToken<'_>, _: AddressHistory) -> Result<Arc<Caller>, AuthnError> {
            self.result.clone().map(|()| {
                Arc::new(Caller {
                    issuer: self.name.clone(),
                    subject: "s".into(),
                    groups: Vec::new(),
                    workload: None,
                    unbound_account: None,
                    claims: serde_json::Map::new(),
                })
            })
        }
    }

    const CLEAN: AddressHistory = AddressHistory::clean(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    /// Name, issuer and result of an authenticator.
    type Row = (&'static str, Option<&'static str>, Result<(), AuthnError>);

    const NOT_AUTHENTICATED: AuthnError = AuthnError::Refused(TokenRefusal::NotAuthenticated);
    const WRONG_AUDIENCE: AuthnError = AuthnError::Refused(TokenRefusal::WrongAudience);

    fn not_pod_bound() -> AuthnError {
        AuthnError::NotPodBound(Arc::new(Caller {
            issuer: "cluster".into(),
            subject: "alice".into(),
            groups: Vec::new(),
            workload: None,
            unbound_account: None,
            claims: serde_json::Map::new(),
        }))
    }

    fn token(issuer: &str) -> SecretValue {
        let [header, claims] = [r#"{"alg":"RS256"}"#.to_owned(), format!(r#"{{"iss":"{issuer}","exp":1}}"#)];
        SecretValue::new([header, claims, "s".into()].map(|part| URL_SAFE_NO_PAD.encode(part)).join("."))
    }

    fn authenticators(all: &[Row]) -> Authenticators {
        let boxed = |(name, issuer, result): &Row| {
            let fixed = FixedResult { name: (*name).into(), issuer: *issuer, result: result.clone() };
            Box::new(fixed) as Box<dyn Authenticator>
        };
        let names: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
        let metrics = Arc::new(Metrics::new(&names, &[]).unwrap());
        Authenticators { all: all.iter().map(boxed).collect(), clock: Arc::new(SystemClock), metrics }
    }

    /// Has a cached user that is not a pod. Authenticates no token.
    struct CachedUser(Arc<str>);

    #[async_trait]
    impl Authenticator for CachedUser {
        fn name(&self) -> &Arc<str> {
            &self.0
        }

        async fn authenticate(&self, _: &UnverifiedToken<'_>, _: AddressHistory) -> Result<Arc<Caller>, AuthnError> {
            Err(not_pod_bound())
        }

        async fn cached(&self, _: &Fingerprint) -> Option<Applicant> {
            let caller = Caller {
                issuer: self.0.clone(),
                subject: "alice".into(),
                groups: Vec::new(),
                workload: None,
                unbound_account: None,
                claims: serde_json::Map::new(),
            };
            Some(without_review(Arc::new(caller)))
        }
    }

    #[tokio::test]
    async fn a_cached_user_without_a_pod_may_administer_but_not_build() {
        let metrics = Arc::new(Metrics::new(&["cluster"], &[]).unwrap());
        let all =
            Authenticators { all: vec![Box::new(CachedUser("cluster".into()))], clock: Arc::new(SystemClock), metrics };
        let token = token("i");
        assert!(
            all.authenticate_applicant(BearerToken::new(&token), CLEAN).await.is_ok()
                && all.cached_applicant(BearerToken::new(&token)).await.is_some()
        );
        assert_eq!(all.authenticate(BearerToken::new(&token), CLEAN).await.err(), Some(not_pod_bound()));
        assert!(all.cached_caller(BearerToken::new(&token)).await.is_none());
    }

    /// The name of the authenticator that accepts a token of this issuer.
    async fn authenticate(all: &[Row], issuer: &str) -> Result<String, AuthnError> {
        authenticators(all)
            .authenticate(BearerToken::new(&token(issuer)), CLEAN)
            .await
            .map(|caller| caller.issuer.to_string())
    }

    #[tokio::test]
    async fn a_token_goes_to_the_authenticator_of_its_issuer_or_else_to_one_without_issuer() {
        let all = [("cluster", None, Ok(())), ("github", Some("https://github"), Ok(()))];
        assert_eq!(authenticate(&all, "https://github").await.as_deref(), Ok("github"));
        assert_eq!(authenticate(&all, "https://other").await.as_deref(), Ok("cluster"));
        assert_eq!(authenticate(&all, "https://github/").await.as_deref(), Ok("cluster"));

        let refused = [("cluster", None, Ok(())), ("github", Some("https://github"), Err(NOT_AUTHENTICATED))];
        assert_eq!(
            authenticate(&refused, "https://github").await,
            Err(NOT_AUTHENTICATED),
            "no other authenticator is asked"
        );
        let unknown = || AuthnError::Refused(TokenRefusal::UnknownIssuer);
        assert_eq!(authenticate(&all[1..], "https://other").await, Err(unknown()));
        assert_eq!(authenticate(&[], "https://other").await, Err(unknown()));
    }

    #[tokio::test]
    async fn with_several_issuers_only_that_of_the_token_is_asked() {
        let down = AuthnError::Unavailable;
        for (first, second) in [(Ok(()), Ok(())), (Err(NOT_AUTHENTICATED), Ok(())), (Ok(()), Err(down))] {
            let all = [("a", Some("https://a"), first.clone()), ("b", Some("https://b"), second.clone())];
            assert_eq!(
                authenticate(&all, "https://a").await,
                first.clone().map(|()| "a".to_owned()),
                "{first:?} {second:?}"
            );
            assert_eq!(
                authenticate(&all, "https://b").await,
                second.clone().map(|()| "b".to_owned()),
                "{first:?} {second:?}"
            );
            let unknown = || AuthnError::Refused(TokenRefusal::UnknownIssuer);
            for other in ["", "https://c", "https://a/", "HTTPS://a"] {
                assert_eq!(authenticate(&all, other).await, Err(unknown()), "{other:?}");
            }
        }
    }

    #[tokio::test]
    async fn clusters_without_issuer_are_asked_in_order_until_one_decides() {
        let gone = || AuthnError::Refused(TokenRefusal::PodGone);
        let down = || AuthnError::Unavailable;
        for (first, second, expected) in [
            (Ok(()), Ok(()), Ok("a")),
            (Err(NOT_AUTHENTICATED), Ok(()), Ok("b")),
            (Err(WRONG_AUDIENCE), Ok(()), Ok("b")),
            (Err(down()), Ok(()), Ok("b")),
            (Err(not_pod_bound()), Ok(()), Err(not_pod_bound())),
            (Err(gone()), Ok(()), Err(gone())),
            (Err(down()), Err(NOT_AUTHENTICATED), Err(down())),
            (Err(NOT_AUTHENTICATED), Err(down()), Err(down())),
            (Err(WRONG_AUDIENCE), Err(NOT_AUTHENTICATED), Err(NOT_AUTHENTICATED)),
            (Err(NOT_AUTHENTICATED), Err(WRONG_AUDIENCE), Err(NOT_AUTHENTICATED)),
            (Err(WRONG_AUDIENCE), Err(WRONG_AUDIENCE), Err(WRONG_AUDIENCE)),
            (Err(AuthnError::Limited), Err(NOT_AUTHENTICATED), Err(AuthnError::Limited)),
            (Err(AuthnError::Limited), Err(down()), Err(down())),
        ] {
            let all = [("a", None, first.clone()), ("b", None, second.clone())];
            assert_eq!(authenticate(&all, "i").await, expected.map(str::to_owned), "{first:?} {second:?}");
        }
    }

    #[tokio::test]
    async fn each_authentication_is_counted_once_for_the_authenticator_that_decided() {
        let all = authenticators(&[
            ("a", None, Err(NOT_AUTHENTICATED)),
            ("b", None, Ok(())),
            ("c", Some("https://c"), Err(AuthnError::Unavailable)),
            ("d", Some("https://d"), Err(AuthnError::Limited)),
            ("e", Some("https://e"), Err(AuthnError::UnknownKey)),
        ]);
        let garbage = all.authenticate(BearerToken::new(&SecretValue::new("garbage".into())), CLEAN).await;
        assert_eq!(garbage, Err(AuthnError::Refused(TokenRefusal::Malformed)));
        assert!(all.authenticate(BearerToken::new(&token("https://other")), CLEAN).await.is_ok());
        assert_eq!(all.authenticate(BearerToken::new(&token("https://c")), CLEAN).await, Err(AuthnError::Unavailable));
        assert_eq!(all.authenticate(BearerToken::new(&token("https://d")), CLEAN).await, Err(AuthnError::Limited));
        assert_eq!(all.authenticate(BearerToken::new(&token("https://e")), CLEAN).await, Err(AuthnError::UnknownKey));

        let text = String::from_utf8(all.metrics.encode().unwrap()).unwrap();
        let counted: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("claviger_authentications_total"))
            .filter(|line| !line.ends_with(" 0"))
            .collect();
        assert_eq!(
            counted,
            [
                r#"{authenticator="b",outcome="ok"} 1"#,
                r#"{authenticator="c",outcome="failed"} 1"#,
                r#"{authenticator="d",outcome="denied"} 1"#,
                r#"{authenticator="e",outcome="denied"} 1"#,
                r#"{authenticator="none",outcome="denied"} 1"#,
            ]
        );
    }
}
