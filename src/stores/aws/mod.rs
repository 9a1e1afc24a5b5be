//! AWS Secrets Manager, through AWS's own SDK over our own HTTP client.

mod answers;
mod credentials;
mod failure;
mod transport;

use super::calls::{CallFailure, Calls};
use super::names::Naming;
use super::path::StorePath;
use super::port::{OnlineFault, OpenFault, ReadError, SecretStore};
use super::session::{Identity, Session};
use crate::config::aws_secrets_manager::{AwsAuth, AwsSecretsManager};
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::stores::breaker::{Probe, Target};
use crate::stores::outbound::Server;
use crate::trust::TrustFiles;
use async_trait::async_trait;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{
    AppName, BehaviorVersion, Builder, Config, IdentityCache, Region, StalledStreamProtectionConfig,
};
use credentials::{AwsCredentials, Signer};
use failure::sdk_failure;
use std::sync::Arc;
use tokio::time::Instant;
use transport::{CapturedBody, Transport};

/// A name that no secret has. A look-up of it shows whether AWS accepts the broker's credentials.
const NO_SECRET: &str = "claviger-online-check";

/// Secrets Manager in one region.
pub(super) struct AwsStore {
    calls: Calls,
    session: Arc<Session<AwsCredentials>>,
    transport: Transport,
    sts_transport: Transport,
}

impl AwsStore {
    /// Builds the clients. No call is made before the first read.
    ///
    /// # Errors
    /// An invalid configuration or an unusable CA file.
    pub(super) fn open(name: &Arc<str>, config: &AwsSecretsManager, metrics: &Arc<Metrics>) -> Result<Self, OpenFault> {
        let sts_url = match &config.auth {
            AwsAuth::WebIdentity { sts_endpoint_url, .. } => sts_endpoint_url.as_deref(),
            AwsAuth::ContainerCredentials { .. } | AwsAuth::StaticKeys { .. } => None,
        };
        let trust = TrustFiles { ca: config.ca_file.clone(), client: None };
        let server = Server {
            store: name,
            address: "https://amazonaws.com",
            trust: &trust,
            proxy: config.proxy_url.as_deref(),
            timeout: config.timeout,
        };
        let open =
            |address: Option<&str>| Transport::open(&Server { address: address.unwrap_or(server.address), ..server });
        let (transport, sts_transport) = (open(config.endpoint_url.as_deref())?, open(sts_url)?);
        let agent = match &config.auth {
            AwsAuth::ContainerCredentials { full_uri, .. } => {
                let agent = Server { address: full_uri, trust: &TrustFiles::default(), proxy: None, ..server };
                Some(Transport::open(&agent)?)
            }
            AwsAuth::WebIdentity { .. } | AwsAuth::StaticKeys { .. } => None,
        };
        let sts = sts(config, sts_url, &sts_transport);
        let source = AwsCredentials::new(config.auth.clone(), sts, agent, secrets_manager(config, &transport));
        let logins = Calls::new(name.clone(), metrics.clone(), None);
        let session = Arc::new(Session::new(logins, source));
        let health = Health { name: name.clone(), session: session.clone(), metrics: metrics.clone() };
        let calls = Calls::new(name.clone(), metrics.clone(), Some(Arc::new(health)));
        Ok(Self { calls, session, transport, sts_transport })
    }

    /// Reads the CA file and the key files again.
    ///
    /// # Errors
    /// An unusable CA file; the old roots stay.
    pub(super) async fn reload(&self) -> Result<(), OpenFault> {
        self.session.reload().await;
        self.transport.reload()?;
        self.sts_transport.reload()
    }

    /// Checks the broker's credentials with a look-up of a missing secret.
    ///
    /// # Errors
    /// See [`OnlineFault`].
    pub(super) async fn check_online(&self) -> Result<(), OnlineFault> {
        let request = RequestId::random();
        let identity = self.session.identity(&request).await.map_err(OnlineFault::of_login)?;
        match self.calls.make(StoreOperation::Preflight, Target::group("/"), &request, describe(&identity)).await {
            // A denied caller was authenticated. The right to read does not include the right to describe.
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
        identity: &Identity<Signer>,
        request: &RequestId,
    ) -> Result<Secret, CallFailure> {
        let name =
            Naming::AwsSecretsManager.name(path.as_str()).ok_or(CallFailure::decoding(ReadError::Misconfigured))?;
        let aside = CapturedBody::default();
        let slot = aside.clone();
        let get = identity.client.client.get_secret_value().secret_id(&name).customize();
        let get = get.mutate_request(move |request| request.add_extension(slot.clone()));
        let mut named = Builder::new();
        named.set_app_name(app_name(request));
        let get = get.config_override(named);
        let read = async {
            get.send().await.map_err(|error| sdk_failure(&error))?;
            let body = aside.take().ok_or(CallFailure::decoding(ReadError::Unavailable))?;
            answers::secret(&body, &name).map_err(CallFailure::decoding)
        };
        let group = format!("{}/", path.as_str().split('/').next().unwrap_or_default());
        let target = Target { mount: &group, path: None, asked: Some(path.as_str()) };
        self.calls.make(StoreOperation::Read, target, request, read).await
    }
}

/// Looks up a missing secret.
async fn describe(identity: &Identity<Signer>) -> Result<(), CallFailure> {
    let describe = identity.client.client.describe_secret().secret_id(NO_SECRET);
    describe.send().await.map(|_| ()).map_err(|error| sdk_failure(&error))
}

/// Whether the region's server serves, without reading a secret.
struct Health {
    name: Arc<str>,
    session: Arc<Session<AwsCredentials>>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Probe for Health {
    async fn serves(&self) -> bool {
        // Without credentials no secret can be read, so the server counts as not serving.
        let Ok(identity) = self.session.identity(&RequestId::random()).await else { return false };
        let started = Instant::now();
        let serves = describe(&identity).await.err().is_none_or(|failed| failed.is_served());
        // Counted, so that an unreachable server is visible although no other calls are made.
        let outcome = if serves { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.record_store_request(&self.name, StoreOperation::Preflight, outcome, started.elapsed());
        serves
    }
}

#[async_trait]
impl SecretStore for AwsStore {
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

/// The `app` of the user agent, so that entries of CloudTrail can be found by request id.
fn app_name(request: &RequestId) -> Option<AppName> {
    AppName::new(format!("claviger-{request}")).ok()
}

/// The SDK without retries and time-outs; the transport has the time limit.
fn secrets_manager(config: &AwsSecretsManager, transport: &Transport) -> Config {
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .http_client(transport.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache());
    builder.set_endpoint_url(config.endpoint_url.clone());
    builder.build()
}

fn sts(config: &AwsSecretsManager, endpoint_url: Option<&str>, transport: &Transport) -> aws_sdk_sts::Client {
    let mut builder = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .http_client(transport.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache());
    builder.set_endpoint_url(endpoint_url.map(str::to_owned));
    aws_sdk_sts::Client::from_conf(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_fits_into_the_user_agent() {
        let name = app_name(&RequestId::random()).unwrap();
        assert!(name.as_ref().starts_with("claviger-") && name.as_ref().len() <= 50);
    }
}
