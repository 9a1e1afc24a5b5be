//! The broker's credentials at AWS: which are in use, and when new ones are fetched.

use super::calls::Calls;
use super::credentials::{CredentialSource, Granted};
use crate::model::request_id::RequestId;
use crate::stores::login::{self, Attempt, Login, SUSPECT_AGE};
use crate::stores::port::ReadError;
use crate::stores::renewal::renew_after;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Config, Credentials};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Credentials are not used this shortly before their end, so that a request under way arrives in time.
const MARGIN: Duration = Duration::from_secs(5);

/// Credentials and the client that signs with them.
pub(super) struct Identity {
    /// The number of its login.
    number: u64,
    pub(super) client: Client,
    credentials: Credentials,
    since: Instant,
    life: Option<Life>,
}

impl login::Credentials for Identity {
    fn number(&self) -> u64 {
        self.number
    }
}

/// The lifetime of credentials that expire.
#[derive(Clone, Copy)]
struct Life {
    /// When they are no longer used.
    end: Instant,
    /// When to fetch new ones.
    renew_at: Instant,
}

impl Life {
    /// A lifetime counts from the request. See [`renew_after`].
    fn granted(asked: Instant, ttl: Duration) -> Self {
        Self { end: asked + ttl.saturating_sub(MARGIN), renew_at: asked + renew_after(ttl) }
    }
}

/// A session.
pub(super) struct Session {
    calls: Calls,
    source: CredentialSource,
    /// The settings of all clients.
    config: Config,
    login: Login<Identity>,
}

impl Session {
    /// Not logged in yet.
    pub(super) fn new(calls: Calls, source: CredentialSource, config: Config) -> Self {
        let login = Login::new(source.is_files());
        Self { calls, source, config, login }
    }

    /// The identity to use now. Before its end a new one is fetched in the background; the call waits only if there is none or
    /// it has expired.
    ///
    /// # Errors
    /// When none can be had.
    pub(super) async fn identity(self: &Arc<Self>, request: &RequestId) -> Result<Arc<Identity>, ReadError> {
        let Some(identity) = self.login.current.load_full() else { return self.replace(None, request).await };
        let now = Instant::now();
        match identity.life {
            Some(life) if life.end <= now => self.replace(Some(identity.number), request).await,
            // One fetch at a time.
            Some(life) if life.renew_at <= now && self.login.is_idle() => {
                let (session, worn) = (self.clone(), identity.number);
                tokio::spawn(async move { session.replace(Some(worn), &RequestId::random()).await });
                Ok(identity)
            }
            _ => Ok(identity),
        }
    }

    /// After AWS refused an identity: a new one if there is one, `None` if the refusal stands.
    ///
    /// # Errors
    /// When nobody knows.
    pub(super) async fn other_than(
        &self,
        used: &Arc<Identity>,
        request: &RequestId,
    ) -> Result<Option<Arc<Identity>>, ReadError> {
        let newer = self.login.current.load_full().filter(|current| current.number != used.number);
        if newer.is_some() {
            return Ok(newer);
        }
        if !self.source.is_files() && used.since.elapsed() < SUSPECT_AGE {
            return Ok(None);
        }
        let fresh = self.replace(Some(used.number), request).await?;
        Ok((fresh.number != used.number).then_some(fresh))
    }

    /// Reads keys from files again, if they come from files.
    pub(super) async fn reload(&self) {
        if self.source.is_files() {
            let worn = self.login.current.load().as_ref().map(|current| current.number);
            // A failure is logged, and the old keys stay.
            let _ = self.replace(worn, &RequestId::random()).await;
        }
    }

    /// Logs in, unless another identity than `worn` is in use by now.
    async fn replace(&self, worn: Option<u64>, request: &RequestId) -> Result<Arc<Identity>, ReadError> {
        self.login.replace(worn, |_| true, |attempt, before| self.log_in(attempt, before, request)).await
    }

    async fn log_in(
        &self,
        attempt: Attempt,
        before: Option<Arc<Identity>>,
        request: &RequestId,
    ) -> Result<Arc<Identity>, ReadError> {
        let granted = self.source.ask(&self.calls, attempt.has_worked, request).await?;
        // The same keys read from their files again are the same identity.
        let same = before.filter(|before| before.credentials == granted.credentials);
        Ok(same.unwrap_or_else(|| Arc::new(self.begin(granted, attempt))))
    }

    fn begin(&self, Granted { credentials, ttl }: Granted, Attempt { number, asked, .. }: Attempt) -> Identity {
        let config = self.config.to_builder().credentials_provider(credentials.clone()).build();
        let life = ttl.map(|ttl| Life::granted(asked, ttl));
        Identity { number, client: Client::from_conf(config), credentials, since: asked, life }
    }
}
