//! A store of named secrets in a cloud. If the cloud refuses the credentials of a read, the read is repeated with new ones.

use super::breaker::{BreakerTarget, Probe};
use super::cloud_session::{CloudSession, CredentialSource, LoginCredentials};
use super::port::{OnlineError, OpenError, ReadError, SecretStore};
use super::secret_names::SecretNaming;
use super::server_calls::{CallError, ServerCalls};
use super::store_path::StorePath;
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::time::Instant;

/// A name that no secret should have. Looking it up shows whether the cloud accepts the broker's credentials.
pub(super) const MISSING_SECRET: &str = "claviger-online-check";

/// The API of one cloud for secrets.
#[async_trait]
pub(super) trait Cloud: Send + Sync + 'static {
    /// The source of the broker's credentials.
    type Source: CredentialSource;

    /// How secrets are named.
    const NAMING: SecretNaming;

    /// The group of paths that share a quota, and therefore a breaker. By default all secrets are one group, because a vault or
    /// project has one quota.
    fn quota_group(_path: &str) -> Cow<'static, str> {
        "secrets/".into()
    }

    /// Reads the current version of a secret; at Google, the newest one.
    ///
    /// # Errors
    /// See [`CallError`].
    async fn read(
        &self,
        client: &Client<Self>,
        name: &str,
        path: &StorePath,
        request_id: &RequestId,
    ) -> Result<Secret, CallError>;

    /// Looks up the secret [`MISSING_SECRET`]. If it exists, its value is ignored.
    ///
    /// # Errors
    /// See [`CallError`].
    async fn look_up_missing_secret(&self, client: &Client<Self>, request_id: &RequestId) -> Result<(), CallError>;

    /// Reads certificates again.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    fn reload(&self) -> Result<(), OpenError>;
}

type Client<C> = <<C as Cloud>::Source as CredentialSource>::Client;

/// A [`CloudStore`] of any cloud.
#[async_trait]
pub(super) trait CloudBackend: SecretStore {
    /// How the secrets are named.
    fn naming(&self) -> SecretNaming;

    /// Reads certificates again, and AWS access keys in files. Tokens and key files are read again at the next login.
    ///
    /// # Errors
    /// An unusable CA file; the old roots stay.
    async fn reload(&self) -> Result<(), OpenError>;

    /// Checks the broker's credentials with a look-up of a missing secret.
    ///
    /// # Errors
    /// See [`OnlineError`].
    async fn check_online(&self) -> Result<(), OnlineError>;
}

/// The secrets of one region, vault or project.
pub(super) struct CloudStore<C: Cloud> {
    calls: ServerCalls,
    session: Arc<CloudSession<C::Source>>,
    cloud: Arc<C>,
}

impl<C: Cloud> CloudStore<C> {
    /// Makes no call before the first read.
    pub(super) fn new(name: &Arc<str>, source: C::Source, cloud: C, metrics: &Arc<Metrics>) -> Self {
        let session = Arc::new(CloudSession::new(ServerCalls::new(name.clone(), metrics.clone(), None), source));
        let cloud = Arc::new(cloud);
        let probe =
            CloudProbe { name: name.clone(), session: session.clone(), cloud: cloud.clone(), metrics: metrics.clone() };
        let calls = ServerCalls::new(name.clone(), metrics.clone(), Some(Arc::new(probe)));
        Self { calls, session, cloud }
    }

    async fn fetch(
        &self,
        path: &StorePath,
        credentials: &LoginCredentials<Client<C>>,
        request_id: &RequestId,
    ) -> Result<Secret, CallError> {
        let name = C::NAMING.secret_name(path.as_str()).ok_or(CallError::not_sent(ReadError::Misconfigured))?;
        let group = C::quota_group(path.as_str());
        let target = BreakerTarget { mount: &group, creation_path: None, secret_path: Some(path.as_str()) };
        let read = self.cloud.read(&credentials.client, &name, path, request_id);
        self.calls.make(StoreOperation::Read, target, request_id, read).await
    }
}

#[async_trait]
impl<C: Cloud> SecretStore for CloudStore<C> {
    async fn read(&self, path: &StorePath, request_id: &RequestId) -> Result<Arc<Secret>, ReadError> {
        let credentials = self.session.credentials(request_id).await?;
        let result = match self.fetch(path, &credentials, request_id).await {
            Err(failed) if failed.credentials_suspect => {
                match self.session.replacement_for(&credentials, request_id).await? {
                    Some(fresh) => self.fetch(path, &fresh, request_id).await,
                    None => Err(failed),
                }
            }
            result => result,
        };
        result.map(Arc::new).map_err(|failed| failed.error)
    }
}

#[async_trait]
impl<C: Cloud> CloudBackend for CloudStore<C> {
    fn naming(&self) -> SecretNaming {
        C::NAMING
    }

    async fn reload(&self) -> Result<(), OpenError> {
        self.session.reload().await;
        self.cloud.reload()
    }

    async fn check_online(&self) -> Result<(), OnlineError> {
        let request_id = RequestId::random();
        let credentials = self.session.credentials(&request_id).await.map_err(OnlineError::from_login_error)?;
        let look_up = self.cloud.look_up_missing_secret(&credentials.client, &request_id);
        let group = C::quota_group("");
        match self.calls.make(StoreOperation::Preflight, BreakerTarget::group(&group), &request_id, look_up).await {
            // An error that concerns only the secret shows that the credentials were accepted.
            Ok(())
            | Err(
                CallError { error: ReadError::Absent | ReadError::Deleted, .. }
                | CallError { error: ReadError::Forbidden, credentials_suspect: false, .. },
            ) => Ok(()),
            Err(failed) => Err(OnlineError::from_login_error(failed.error)),
        }
    }
}

/// Checks whether the server is available, without reading a secret.
struct CloudProbe<C: Cloud> {
    name: Arc<str>,
    session: Arc<CloudSession<C::Source>>,
    cloud: Arc<C>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl<C: Cloud> Probe for CloudProbe<C> {
    async fn is_available(&self) -> bool {
        let request_id = RequestId::random();
        // Without credentials no secret can be read, so the server counts as unavailable.
        let Ok(credentials) = self.session.credentials(&request_id).await else { return false };
        let started = Instant::now();
        let result = self.cloud.look_up_missing_secret(&credentials.client, &request_id).await;
        let is_available = result.err().is_none_or(|failed| failed.server_is_available());
        // Counted in the metrics, which show an unreachable server even while no other calls are made.
        let outcome = if is_available { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.record_store_request(&self.name, StoreOperation::Preflight, outcome, started.elapsed());
        is_available
    }
}
