//! The broker's session at a cloud: keeps its credentials, and gets new ones before they expire.

use super::current_login::{self, CurrentLogin, LoginAttempt, SUSPECT_FROM_AGE};
use super::port::ReadError;
use super::renewal::renew_after;
use super::server_calls::ServerCalls;
use crate::model::request_id::RequestId;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Credentials are not used during this time before their end, so that a request still arrives before they expire.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);

/// A source of credentials. Files are read again at every login.
#[async_trait]
pub(super) trait CredentialSource: Send + Sync + 'static {
    /// The client that makes calls with the credentials.
    type Client: Send + Sync + 'static;

    /// Whether the credentials themselves are in files. False if a server grants them, or if they are signed with a key in a
    /// file.
    fn is_file_based(&self) -> bool {
        false
    }

    /// Whether two logins gave the same credentials. Only called for credentials in files.
    fn are_equal(&self, _previous: &Self::Client, _fresh: &Self::Client) -> bool {
        false
    }

    /// Gets credentials. `has_logged_in_before` says that a login has succeeded before.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn request_credentials(
        &self,
        calls: &ServerCalls,
        has_logged_in_before: bool,
        request_id: &RequestId,
    ) -> Result<NewCredentials<Self::Client>, ReadError>;
}

pub(super) struct NewCredentials<C> {
    pub(super) client: C,
    /// `None` if the credentials do not expire.
    pub(super) ttl: Option<Duration>,
}

pub(super) struct LoginCredentials<C> {
    /// The number of its login.
    number: u64,
    pub(super) client: C,
    requested_at: Instant,
    lifetime: Option<CredentialLifetime>,
}

impl<C> current_login::Credentials for LoginCredentials<C> {
    fn number(&self) -> u64 {
        self.number
    }
}

/// The times of credentials that expire.
#[derive(Clone, Copy)]
struct CredentialLifetime {
    /// From this time on the credentials are not used.
    end: Instant,
    /// From this time on new credentials are fetched.
    renew_at: Instant,
}

impl CredentialLifetime {
    /// A granted lifetime begins with the login request. See [`renew_after`].
    fn from_grant(requested_at: Instant, ttl: Duration) -> Self {
        Self { end: requested_at + ttl.saturating_sub(EXPIRY_MARGIN), renew_at: requested_at + renew_after(ttl) }
    }
}

/// A broker's session at one cloud.
pub(super) struct CloudSession<S: CredentialSource> {
    calls: ServerCalls,
    source: S,
    login: CurrentLogin<LoginCredentials<S::Client>>,
}

impl<S: CredentialSource> CloudSession<S> {
    /// Creates a session without a login.
    pub(super) fn new(calls: ServerCalls, source: S) -> Self {
        let login = CurrentLogin::new(source.is_file_based());
        Self { calls, source, login }
    }

    /// The credentials to use now. New ones are fetched in the background before they expire. The caller waits only if there
    /// are no valid credentials.
    ///
    /// # Errors
    /// No credentials are available.
    pub(super) async fn credentials(
        self: &Arc<Self>,
        request_id: &RequestId,
    ) -> Result<Arc<LoginCredentials<S::Client>>, ReadError> {
        let Some(credentials) = self.login.current.load_full() else { return self.replace(None, request_id).await };
        let now = Instant::now();
        match credentials.lifetime {
            Some(lifetime) if lifetime.end <= now => self.replace(Some(credentials.number), request_id).await,
            // One fetch at a time.
            Some(lifetime) if lifetime.renew_at <= now && self.login.is_idle() => {
                let (session, outdated) = (self.clone(), credentials.number);
                tokio::spawn(async move { session.replace(Some(outdated), &RequestId::random()).await });
                Ok(credentials)
            }
            _ => Ok(credentials),
        }
    }

    /// Other credentials, after the cloud refused the `used` ones. `None` if the credentials are not the reason of the refusal.
    ///
    /// # Errors
    /// The login failed.
    pub(super) async fn replacement_for(
        &self,
        used: &Arc<LoginCredentials<S::Client>>,
        request_id: &RequestId,
    ) -> Result<Option<Arc<LoginCredentials<S::Client>>>, ReadError> {
        let newer = self.login.current.load_full().filter(|current| current.number != used.number);
        if newer.is_some() {
            return Ok(newer);
        }
        if !self.source.is_file_based() && used.requested_at.elapsed() < SUSPECT_FROM_AGE {
            return Ok(None);
        }
        let fresh = self.replace(Some(used.number), request_id).await?;
        Ok((fresh.number != used.number).then_some(fresh))
    }

    /// Reads keys from files again, if they come from files.
    pub(super) async fn reload(&self) {
        if self.source.is_file_based() {
            let outdated = self.login.current.load().as_ref().map(|current| current.number);
            // A failure is logged, and the old keys stay.
            let _ = self.replace(outdated, &RequestId::random()).await;
        }
    }

    /// Logs in, unless the credentials in use are already those of another login than `outdated`.
    async fn replace(
        &self,
        outdated: Option<u64>,
        request_id: &RequestId,
    ) -> Result<Arc<LoginCredentials<S::Client>>, ReadError> {
        self.login.replace(outdated, |_| true, |attempt, previous| self.log_in(attempt, previous, request_id)).await
    }

    async fn log_in(
        &self,
        LoginAttempt { number, requested_at, has_logged_in_before }: LoginAttempt,
        previous: Option<Arc<LoginCredentials<S::Client>>>,
        request_id: &RequestId,
    ) -> Result<Arc<LoginCredentials<S::Client>>, ReadError> {
        let NewCredentials { client, ttl } =
            self.source.request_credentials(&self.calls, has_logged_in_before, request_id).await?;
        // If the files still have the same keys, their number does not change.
        let unchanged =
            previous.filter(|previous| self.source.is_file_based() && self.source.are_equal(&previous.client, &client));
        let lifetime = ttl.map(|ttl| CredentialLifetime::from_grant(requested_at, ttl));
        Ok(unchanged.unwrap_or_else(|| Arc::new(LoginCredentials { number, client, requested_at, lifetime })))
    }
}
