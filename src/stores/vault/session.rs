//! The broker's session at a Vault server: keeps the token, and logs in again when needed.

use super::call::{Call, CallOptions};
use super::exchange::{Exchange, VaultError};
use super::login::{LoginResult, file_stamp, log_in};
use super::responses;
use super::token::{Token, TokenExpiry, Uses};
use crate::config::stores::VaultAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::dynamic::Lifetime;
use crate::stores::login::{Login, LoginAttempt, SUSPECT_AGE};
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use rustify::endpoint::Endpoint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vaultrs::api::token::requests::LookupTokenSelfRequest;

/// A token younger than this is assumed not to be revoked before its first use.
const ASSUMED_VALID_FOR: Duration = Duration::from_secs(5);
/// Minimum interval between logins that only verify a refusal.
const MIN_VERIFYING_LOGIN_INTERVAL: Duration = Duration::from_secs(1);

/// A broker's session at one server.
pub(super) struct VaultSession {
    pub(super) exchange: Arc<Exchange>,
    auth: VaultAuth,
    login: Login<Token>,
    /// When a login was last made only to verify a refusal.
    last_verifying_login: Mutex<Option<Instant>>,
    /// Whether even new tokens may not look themselves up (no `default` policy). Then a refused look-up does not
    /// show that a token has ended.
    cannot_look_up_itself: AtomicBool,
}

impl VaultSession {
    /// Creates a session without a login.
    pub(super) fn new(exchange: Arc<Exchange>, auth: VaultAuth) -> Self {
        let login = Login::new(matches!(auth, VaultAuth::TokenFile(_)));
        Self {
            exchange,
            auth,
            login,
            last_verifying_login: Mutex::default(),
            cannot_look_up_itself: AtomicBool::new(false),
        }
    }

    /// Makes a call with the broker's token. If it gets a 403 and the token has expired or was revoked, makes the call again with
    /// a new token: a server creates nothing for such a token. Returns the meaning of the response and the token of the call.
    ///
    /// # Errors
    /// What `meaning` returns, and errors of the login.
    pub(super) async fn call<E: Endpoint, T>(
        &self,
        options: CallOptions<'_>,
        endpoint: impl Fn() -> E,
        request: &RequestId,
        meaning: impl Fn(&StoreResponse) -> Result<T, ReadError>,
    ) -> Result<(T, Arc<Token>), VaultError> {
        let token = if options.creates_lease { self.exclusive_token(request).await } else { self.token(request).await };
        let token = token.map_err(VaultError::without_response)?;
        let failed = match self.call_with(&token, options, endpoint(), request, &meaning).await {
            Ok(response) => return Ok((response, token)),
            Err(failed) if !failed.forbidden => return Err(failed),
            Err(failed) => failed,
        };
        let Some(other) = self.replacement_for(&token, request).await.map_err(VaultError::without_response)? else {
            return Err(failed);
        };
        let response = self.call_with(&other, options, endpoint(), request, &meaning).await;
        self.share_token(&other);
        Ok((response?, other))
    }

    /// Makes a call with one token.
    ///
    /// # Errors
    /// What `meaning` returns.
    pub(super) async fn call_with<E: Endpoint, T>(
        &self,
        token: &Token,
        options: CallOptions<'_>,
        endpoint: E,
        request: &RequestId,
        meaning: impl FnOnce(&StoreResponse) -> Result<T, ReadError>,
    ) -> Result<T, VaultError> {
        let options = CallOptions { no_retry: options.no_retry || token.uses.is_some(), ..options };
        self.exchange.call(Call { endpoint, options, token: Some(&token.header) }, request, meaning).await
    }

    /// A token for one call, with one use taken. Logs in if there is none.
    ///
    /// # Errors
    /// No token is available.
    pub(super) async fn token(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.login.current.load_full();
        if let Some(token) = &current
            && !self.is_outdated(token).await
            && token.take_use()
        {
            return Ok(token.clone());
        }
        self.replace(current.map(|token| token.number), true, request).await
    }

    /// The token in use, without taking a use of it. Logs in if there is none.
    ///
    /// # Errors
    /// No token is available.
    pub(super) async fn current_token(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        match self.login.current.load_full() {
            Some(token) if !self.is_outdated(&token).await => Ok(token),
            current => self.replace(current.map(|token| token.number), false, request).await,
        }
    }

    /// A token for a call that creates a secret. The server revokes a secret together with its token, so if the number of uses is
    /// limited, the call gets a token of its own.
    async fn exclusive_token(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.current_token(request).await?;
        if current.uses.is_none() {
            return Ok(current);
        }
        self.log_in_separately(request).await
    }

    /// A token of a separate login, with one use taken.
    async fn log_in_separately(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        self.login.log_in_separately(|attempt| self.log_in(attempt, None, true, request)).await
    }

    async fn is_outdated(&self, token: &Token) -> bool {
        match &self.auth {
            // Without a new file there is no other token, so the expiry is not checked here.
            VaultAuth::TokenFile(file) => {
                let stamp = file_stamp(file).await;
                stamp.is_some() && stamp != token.stamp
            }
            VaultAuth::Kubernetes { .. } | VaultAuth::Jwt { .. } | VaultAuth::AppRole { .. } => token.has_ended(),
        }
    }

    /// Another token after a 403, if the used one has ended. `None` if it is valid, so the 403 concerns the path.
    ///
    /// # Errors
    /// The state of the token is unknown, or the login failed.
    async fn replacement_for(&self, used: &Arc<Token>, request: &RequestId) -> Result<Option<Arc<Token>>, ReadError> {
        if let Some(uses) = &used.uses {
            // A used-up token gets a 403 too. At the first use of a new token the 403 concerns the path.
            return if uses.is_first() && used.since.elapsed() < ASSUMED_VALID_FOR {
                Ok(None)
            } else {
                self.verifying_login(request).await.map(Some)
            };
        }
        let newer = self.login.current.load_full().filter(|current| current.number != used.number);
        if newer.is_some() {
            return Ok(newer);
        }
        match self.look_up_token(used, request).await {
            Ok(_) => {
                self.cannot_look_up_itself.store(false, Ordering::Relaxed);
                return Ok(None);
            }
            Err(ReadError::Forbidden) => {}
            Err(error) => return Err(error),
        }
        if self.cannot_look_up_itself.load(Ordering::Relaxed) && used.since.elapsed() < SUSPECT_AGE {
            return Ok(None);
        }
        let fresh = self.replace(Some(used.number), false, request).await?;
        if fresh.number == used.number {
            // The file still holds the token that the store refuses.
            return Err(ReadError::Forbidden);
        }
        if self.look_up_token(&fresh, request).await == Err(ReadError::Forbidden) {
            self.cannot_look_up_itself.store(true, Ordering::Relaxed);
        }
        Ok(Some(fresh))
    }

    /// A new token for this call only. Such logins are limited, because any forbidden path would cause one.
    async fn verifying_login(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        if self.was_verified_recently() {
            return Err(ReadError::Unavailable);
        }
        self.log_in_separately(request).await
    }

    /// Whether such a login was made less than [`MIN_VERIFYING_LOGIN_INTERVAL`] ago. If not, one is made now.
    fn was_verified_recently(&self) -> bool {
        let mut last_verifying_login = self.last_verifying_login.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = last_verifying_login.is_some_and(|at| at.elapsed() < MIN_VERIFYING_LOGIN_INTERVAL);
        if !is_recent {
            *last_verifying_login = Some(Instant::now());
        }
        is_recent
    }

    /// Makes the remaining uses of a token that was fetched for one call available to others.
    fn share_token(&self, token: &Arc<Token>) {
        if token.uses.is_some() {
            let newest = |current: &Option<Arc<Token>>| match current {
                Some(current) if current.number > token.number => Some(current.clone()),
                _ => Some(token.clone()),
            };
            self.login.current.rcu(newest);
        }
    }

    /// Logs in, unless another token than `outdated` is in use by now. While logins fail, the old token stays. With `takes_use`,
    /// one use of the returned token is taken.
    ///
    /// # Errors
    /// The login failed.
    pub(super) async fn replace(
        &self,
        outdated: Option<u64>,
        takes_use: bool,
        request: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let is_usable = |current: &Token| !takes_use || current.take_use();
        self.login
            .replace(outdated, is_usable, |attempt, before| self.log_in(attempt, before, takes_use, request))
            .await
    }

    async fn log_in(
        &self,
        attempt: LoginAttempt,
        before: Option<Arc<Token>>,
        takes_use: bool,
        request: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let logged_in = log_in(&self.exchange, &self.auth, attempt.has_worked, request).await?;
        let token = token_from_login(logged_in, attempt, before.as_deref());
        if takes_use {
            token.take_use();
        }
        Ok(Arc::new(token))
    }

    /// Looks a token up at the store.
    ///
    /// # Errors
    /// `Forbidden` if it has ended or may not look itself up.
    pub(super) async fn look_up_token(
        &self,
        token: &Token,
        request: &RequestId,
    ) -> Result<Option<Lifetime>, ReadError> {
        let options = CallOptions::read_only(StoreOperation::Login, BreakerTarget::group("auth/token/"));
        let response =
            self.call_with(token, options, LookupTokenSelfRequest {}, request, responses::parse_token_lookup).await;
        response.map_err(|failed| failed.error)
    }

    /// Sets the lifetime of a token, if it is still in use.
    pub(super) fn set_lifetime(&self, token: &Arc<Token>, lifetime: TokenExpiry) {
        let updated = Arc::new(token.with_lifetime(lifetime));
        self.login.current.compare_and_swap(&Some(token.clone()), Some(updated));
    }

    /// The session in which leases are created now; 0 before the first login.
    pub(super) fn number(&self) -> u64 {
        self.login.current.load().as_ref().map_or(0, |token| token.session())
    }

    /// Whether a login can give a new token.
    pub(super) const fn can_log_in(&self) -> bool {
        !matches!(self.auth, VaultAuth::TokenFile(_))
    }

    /// Reads the token file again, if there is one.
    pub(super) async fn reload(&self, request: &RequestId) {
        if !self.can_log_in() {
            let outdated = self.login.current.load_full().map(|token| token.number);
            // A failure is logged, and the old token stays.
            let _ = self.replace(outdated, false, request).await;
        }
    }
}

/// The token of a login. The same token, read from its file again, keeps its number and its lifetime.
fn token_from_login(
    logged_in: LoginResult,
    LoginAttempt { number, requested_at, .. }: LoginAttempt,
    before: Option<&Token>,
) -> Token {
    let LoginResult { header, grant, stamp, uses } = logged_in;
    if let Some(before) = before
        && before.header == header
    {
        return Token { stamp, ..before.with_lifetime(before.lifetime) };
    }
    let lifetime = grant.map_or(TokenExpiry::Unknown, |grant| TokenExpiry::from_grant(requested_at, grant));
    Token { number, header, lifetime, stamp, since: requested_at, uses: uses.map(Uses::new) }
}
