//! The broker's credentials at a cloud: which are in use, and when new ones are fetched.

use super::calls::Calls;
use super::login::{self, Attempt, Login, SUSPECT_AGE};
use super::port::ReadError;
use super::renewal::renew_after;
use crate::model::request_id::RequestId;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Credentials are not used in this last part of their lifetime, so that a request in progress arrives in time.
const MARGIN: Duration = Duration::from_secs(5);

/// Where credentials come from. What they are read from is read again at every login.
#[async_trait]
pub(super) trait CredentialSource: Send + Sync + 'static {
    /// Credentials, and what makes calls with them.
    type Client: Send + Sync + 'static;

    /// Whether the credentials are read from files, and not granted by a server.
    fn is_files(&self) -> bool {
        false
    }

    /// Whether two logins gave the same credentials. Only asked of files.
    fn is_same(&self, _before: &Self::Client, _fresh: &Self::Client) -> bool {
        false
    }

    /// Gets credentials. `has_worked`: a login has succeeded before.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn ask(
        &self,
        calls: &Calls,
        has_worked: bool,
        request: &RequestId,
    ) -> Result<Granted<Self::Client>, ReadError>;
}

/// Credentials and their lifetime, which files do not name.
pub(super) struct Granted<C> {
    pub(super) client: C,
    pub(super) ttl: Option<Duration>,
}

/// Credentials of one login.
pub(super) struct Identity<C> {
    /// The number of its login.
    number: u64,
    pub(super) client: C,
    since: Instant,
    life: Option<Life>,
}

impl<C> login::Credentials for Identity<C> {
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
pub(super) struct Session<S: CredentialSource> {
    calls: Calls,
    source: S,
    login: Login<Identity<S::Client>>,
}

impl<S: CredentialSource> Session<S> {
    /// Not logged in yet.
    pub(super) fn new(calls: Calls, source: S) -> Self {
        let login = Login::new(source.is_files());
        Self { calls, source, login }
    }

    /// The identity to use now. Before its end a new one is fetched in the background; the call waits only if there is none or
    /// it has expired.
    ///
    /// # Errors
    /// No credentials are available.
    pub(super) async fn identity(self: &Arc<Self>, request: &RequestId) -> Result<Arc<Identity<S::Client>>, ReadError> {
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

    /// After the cloud refused an identity: a new one if there is one, `None` if the refusal stands.
    ///
    /// # Errors
    /// The result is unknown.
    pub(super) async fn replacement_for(
        &self,
        used: &Arc<Identity<S::Client>>,
        request: &RequestId,
    ) -> Result<Option<Arc<Identity<S::Client>>>, ReadError> {
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
    async fn replace(&self, worn: Option<u64>, request: &RequestId) -> Result<Arc<Identity<S::Client>>, ReadError> {
        self.login.replace(worn, |_| true, |attempt, before| self.log_in(attempt, before, request)).await
    }

    async fn log_in(
        &self,
        Attempt { number, asked, has_worked }: Attempt,
        before: Option<Arc<Identity<S::Client>>>,
        request: &RequestId,
    ) -> Result<Arc<Identity<S::Client>>, ReadError> {
        let Granted { client, ttl } = self.source.ask(&self.calls, has_worked, request).await?;
        // The same keys read from their files again are the same identity.
        let same = before.filter(|before| self.source.is_files() && self.source.is_same(&before.client, &client));
        let life = ttl.map(|ttl| Life::granted(asked, ttl));
        Ok(same.unwrap_or_else(|| Arc::new(Identity { number, client, since: asked, life })))
    }
}
