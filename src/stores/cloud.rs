//! A store of named secrets in a cloud: a session, one read for each secret, and another one with new credentials if the
//! first were refused.

use super::breaker::{Probe, Target};
use super::calls::{CallFailure, Calls, Meaning};
use super::names::Naming;
use super::outbound::{Answer, CallFault};
use super::path::StorePath;
use super::port::{OnlineFault, OpenFault, ReadError, SecretStore};
use super::session::{CredentialSource, Identity, Session};
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::time::Instant;

/// A name of no secret. A read of it shows whether the cloud accepts the broker's credentials.
const NO_SECRET: &str = "claviger-online-check";

/// The breaker of all secrets: quotas are those of a vault or of a project.
const SECRETS: &str = "secrets/";

/// The API of a cloud's secrets.
#[async_trait]
pub(super) trait Cloud: Send + Sync + 'static {
    /// The broker's credentials.
    type Source: CredentialSource;

    /// How secrets are named.
    const NAMING: Naming;

    /// Reads the newest version of a secret.
    ///
    /// # Errors
    /// No complete answer arrived in time.
    async fn get(
        &self,
        client: &<Self::Source as CredentialSource>::Client,
        name: &str,
        request: &RequestId,
    ) -> Result<Answer, CallFault>;

    /// The meaning of an answer whose status is not 200.
    fn refusal(&self, answer: &Answer) -> Meaning;

    /// The secret in an answer.
    ///
    /// # Errors
    /// See [`Unreadable`].
    fn secret(&self, body: &[u8], name: &str, path: &StorePath) -> Result<Secret, Unreadable>;

    /// Reads certificates again.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    fn reload(&self) -> Result<(), OpenFault>;
}

/// Why an answer has no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The data was changed on the way. It is asked for once more.
    #[cfg_attr(not(feature = "gcp"), expect(dead_code, reason = "Azure has no checksum"))]
    Garbled,
    /// The class.
    Failed(ReadError),
}

impl From<ReadError> for Unreadable {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

type Client<C> = <<C as Cloud>::Source as CredentialSource>::Client;

/// The secrets of one vault or project.
pub(super) struct CloudStore<C: Cloud> {
    calls: Calls,
    session: Arc<Session<C::Source>>,
    cloud: Arc<C>,
}

impl<C: Cloud> CloudStore<C> {
    /// No call is made before the first read.
    pub(super) fn new(name: &Arc<str>, source: C::Source, cloud: C, metrics: &Arc<Metrics>) -> Self {
        let session = Arc::new(Session::new(Calls::new(name.clone(), metrics.clone(), None), source));
        let cloud = Arc::new(cloud);
        let health =
            Health { name: name.clone(), session: session.clone(), cloud: cloud.clone(), metrics: metrics.clone() };
        let calls = Calls::new(name.clone(), metrics.clone(), Some(Arc::new(health)));
        Self { calls, session, cloud }
    }

    /// Reads certificates again. Other files are read again at the next login.
    ///
    /// # Errors
    /// An unusable CA file; the old roots stay.
    pub(super) async fn reload(&self) -> Result<(), OpenFault> {
        self.session.reload().await;
        self.cloud.reload()
    }

    /// Checks the broker's credentials with a read of a missing secret.
    ///
    /// # Errors
    /// See [`OnlineFault`].
    pub(super) async fn check_online(&self) -> Result<(), OnlineFault> {
        let request = RequestId::random();
        let identity = self.session.identity(&request).await.map_err(OnlineFault::of_login)?;
        let probe = probe_missing_secret(&*self.cloud, &identity.client, &request);
        match self.calls.make(StoreOperation::Preflight, Target::group(SECRETS), &request, probe).await {
            // A refusal of the secret, and not of the credentials, says that these were taken.
            Ok(())
            | Err(
                CallFailure { error: ReadError::Absent | ReadError::Deleted, .. }
                | CallFailure { error: ReadError::Forbidden, suspect: false, .. },
            ) => Ok(()),
            Err(failed) => Err(OnlineFault::of_login(failed.error)),
        }
    }

    async fn fetch(
        &self,
        path: &StorePath,
        identity: &Identity<Client<C>>,
        request: &RequestId,
    ) -> Result<Secret, CallFailure> {
        let name = C::NAMING.name(path.as_str()).ok_or(CallFailure::decoding(ReadError::Misconfigured))?;
        let target = Target { mount: SECRETS, path: None, asked: Some(path.as_str()) };
        let read = async {
            let cloud = &*self.cloud;
            match read_once(cloud, &identity.client, &name, path, request).await? {
                Err(Unreadable::Garbled) => match read_once(cloud, &identity.client, &name, path, request).await? {
                    Err(Unreadable::Garbled) => Err(CallFailure::decoding(ReadError::Unavailable)),
                    Err(Unreadable::Failed(error)) => Err(CallFailure::decoding(error)),
                    Ok(secret) => Ok(secret),
                },
                Err(Unreadable::Failed(error)) => Err(CallFailure::decoding(error)),
                Ok(secret) => Ok(secret),
            }
        };
        self.calls.make(StoreOperation::Read, target, request, read).await
    }
}

async fn read_once<C: Cloud>(
    cloud: &C,
    client: &Client<C>,
    name: &str,
    path: &StorePath,
    request: &RequestId,
) -> Result<Result<Secret, Unreadable>, CallFailure> {
    let answer = cloud.get(client, name, request).await.map_err(CallFailure::by)?;
    if answer.status != 200 {
        return Err(failure(cloud, &answer));
    }
    Ok(cloud.secret(&answer.body, name, path))
}

/// Reads a missing secret. If there is one of that name, its value is not looked at.
async fn probe_missing_secret<C: Cloud>(cloud: &C, client: &Client<C>, request: &RequestId) -> Result<(), CallFailure> {
    let answer = cloud.get(client, NO_SECRET, request).await.map_err(CallFailure::by)?;
    if answer.status == 200 { Ok(()) } else { Err(failure(cloud, &answer)) }
}

fn failure<C: Cloud>(cloud: &C, answer: &Answer) -> CallFailure {
    CallFailure::answered(answer.status, cloud.refusal(answer), answer.retry_after)
}

/// Whether the server serves, without a secret.
struct Health<C: Cloud> {
    name: Arc<str>,
    session: Arc<Session<C::Source>>,
    cloud: Arc<C>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl<C: Cloud> Probe for Health<C> {
    async fn serves(&self) -> bool {
        let request = RequestId::random();
        // Without credentials no secret can be read, so the server counts as not serving.
        let Ok(identity) = self.session.identity(&request).await else { return false };
        let started = Instant::now();
        let looked = probe_missing_secret(&*self.cloud, &identity.client, &request).await;
        let serves = looked.err().is_none_or(|failed| failed.is_served());
        // Counted, so that an unreachable server is visible although no other calls are made.
        let outcome = if serves { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.record_store_request(&self.name, StoreOperation::Preflight, outcome, started.elapsed());
        serves
    }
}

#[async_trait]
impl<C: Cloud> SecretStore for CloudStore<C> {
    async fn read(&self, path: &StorePath, request: &RequestId) -> Result<Arc<Secret>, ReadError> {
        let identity = self.session.identity(request).await?;
        let result = match self.fetch(path, &identity, request).await {
            Err(failed) if failed.suspect => match self.session.replacement_for(&identity, request).await? {
                Some(fresh) => self.fetch(path, &fresh, request).await,
                None => Err(failed),
            },
            result => result,
        };
        result.map(Arc::new).map_err(|failed| failed.error)
    }
}
