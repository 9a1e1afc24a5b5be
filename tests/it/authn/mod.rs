//! Authentication against a real API server.

mod bound_pods;
mod clusters;
mod credentials;
mod discovery;
mod key_rotation;
mod openbao;
mod review_limit;
mod reviews;

use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use claviger::authn::{AddressHistory, Authenticators, AuthnError, BearerToken, TokenRefusal};
use claviger::cluster::Clusters;
use claviger::config::authenticators::{Algorithm, Authenticator, Kind, Kubernetes, Oidc};
use claviger::metrics::Metrics;
use claviger::model::caller::Caller;
use claviger::model::clock::{Clock, SystemClock};
use claviger::model::secret::SecretValue;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const CLEAN: AddressHistory = AddressHistory::clean(IpAddr::V4(Ipv4Addr::LOCALHOST));
/// More reviews than a test sends; the tests of the limit itself use another.
const REVIEWS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// A `token_review` authenticator, with a counter of its reviews.
struct ReviewAuthenticator {
    authenticators: Authenticators,
    metrics: Arc<Metrics>,
}

impl ReviewAuthenticator {
    /// Uses the broker's own credentials and caches no reviews.
    async fn open(kube: &Kube) -> Self {
        Self::with_kubeconfig(kube.plane.kubeconfig(User::Broker), Duration::ZERO).await
    }

    async fn with_kubeconfig(kubeconfig: PathBuf, cache_ttl: Duration) -> Self {
        let metrics = Arc::new(Metrics::new(&["cluster"], &[]).unwrap());
        let mut clusters = Clusters::default();
        clusters.connect(Some(&kubeconfig), &metrics).await.unwrap();
        let kubernetes = Kubernetes {
            audience: "claviger".into(),
            unbound_audience: None,
            issuer: None,
            kubeconfig: Some(kubeconfig),
            cache_ttl,
        };
        let configured = [Authenticator { name: "cluster".into(), kind: Kind::Kubernetes(kubernetes) }];
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authenticators = Authenticators::open(&configured, REVIEWS, &clusters, &clock, metrics.clone()).unwrap();
        Self { authenticators, metrics }
    }

    async fn authenticate(&self, token: &str) -> Result<Arc<Caller>, AuthnError> {
        self.authenticators.authenticate(BearerToken::new(&SecretValue::new(token.to_owned())), CLEAN).await
    }

    async fn assert_accepted(&self, token: &str) {
        assert_eq!(self.authenticate(token).await.err(), None);
    }

    async fn assert_refused(&self, token: &str, refusal: TokenRefusal) {
        assert_eq!(self.authenticate(token).await.err(), Some(AuthnError::Refused(refusal)));
    }

    /// The number of reviews that were sent.
    fn reviews(&self) -> usize {
        let text = String::from_utf8(self.metrics.encode().unwrap()).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("claviger_token_review_duration_seconds_count "));
        count.unwrap().parse().unwrap()
    }
}

/// An `oidc` authenticator that fetches keys from its issuer.
struct OidcAuthenticator {
    authenticators: Authenticators,
}

impl OidcAuthenticator {
    fn open(issuer: &str) -> Self {
        Self::with(issuer, None, None)
    }

    /// With its own CA file and proxy.
    fn with(issuer: &str, ca_file: Option<PathBuf>, proxy_url: Option<String>) -> Self {
        let oidc = Oidc {
            issuer: issuer.into(),
            audience: "claviger".into(),
            jwks_file: None,
            algorithms: vec![Algorithm::Es256],
            ca_file,
            proxy_url,
        };
        let configured = [Authenticator { name: "issuer".into(), kind: Kind::Oidc(oidc) }];
        let (clock, metrics): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Metrics::new(&["issuer"], &[]).unwrap());
        let opened = Authenticators::open(&configured, REVIEWS, &Clusters::default(), &clock, Arc::new(metrics));
        Self { authenticators: opened.unwrap() }
    }

    async fn authenticate(&self, token: &str) -> Result<Arc<Caller>, AuthnError> {
        self.authenticators.authenticate(BearerToken::new(&SecretValue::new(token.to_owned())), CLEAN).await
    }
}
