//! The broker's session at a Vault server: the token in use, and when a new one is fetched.

use super::answers;
use super::call::{Call, CallOptions};
use super::exchange::{CallFailure, Exchange};
use super::login::{LoggedIn, log_in, stamp};
use super::token::{Token, TokenLifetime, Uses};
use crate::config::stores::VaultAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::Target;
use crate::stores::dynamic::Grant;
use crate::stores::login::{Attempt, Login, SUSPECT_AGE};
use crate::stores::outbound::Answer;
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

/// A session.
pub(super) struct Session {
    pub(super) exchange: Arc<Exchange>,
    auth: VaultAuth,
    login: Login<Token>,
    /// When a login was last made only to verify a refusal.
    doubted: Mutex<Option<Instant>>,
    /// Whether even new tokens may not look themselves up (no `default` policy). Then a refused look-up does not
    /// show that a token has ended.
    blind: AtomicBool,
}

impl Session {
    /// Not logged in yet.
    pub(super) fn new(exchange: Arc<Exchange>, auth: VaultAuth) -> Self {
        let login = Login::new(matches!(auth, VaultAuth::TokenFile(_)));
        Self { exchange, auth, login, doubted: Mutex::default(), blind: AtomicBool::new(false) }
    }

    /// Makes a call with the broker's token, and again with a new token if the first one is dead: the server answers a dead
    /// token like a forbidden path, and creates nothing. Returns the meaning of the answer and the token that got it.
    ///
    /// # Errors
    /// What `meaning` returns, and errors of the login.
    pub(super) async fn ask<E: Endpoint, T>(
        &self,
        options: CallOptions<'_>,
        endpoint: impl Fn() -> E,
        request: &RequestId,
        meaning: impl Fn(&Answer) -> Result<T, ReadError>,
    ) -> Result<(T, Arc<Token>), CallFailure> {
        let token = if options.binds_token { self.exclusive_token(request).await } else { self.token(request).await };
        let token = token.map_err(CallFailure::of)?;
        let failed = match self.ask_with(&token, options, endpoint(), request, &meaning).await {
            Ok(answer) => return Ok((answer, token)),
            Err(failed) if !failed.forbidden => return Err(failed),
            Err(failed) => failed,
        };
        let Some(other) = self.replacement_for(&token, request).await.map_err(CallFailure::of)? else {
            return Err(failed);
        };
        let answer = self.ask_with(&other, options, endpoint(), request, &meaning).await;
        self.share_token(&other);
        Ok((answer?, other))
    }

    /// Makes a call with one token.
    ///
    /// # Errors
    /// What `meaning` returns.
    pub(super) async fn ask_with<E: Endpoint, T>(
        &self,
        token: &Token,
        options: CallOptions<'_>,
        endpoint: E,
        request: &RequestId,
        meaning: impl FnOnce(&Answer) -> Result<T, ReadError>,
    ) -> Result<T, CallFailure> {
        let options = CallOptions { once: options.once || token.uses.is_some(), ..options };
        self.exchange.ask(Call { endpoint, options, token: Some(&token.header) }, request, meaning).await
    }

    /// A token for one call. Logs in if there is none.
    ///
    /// # Errors
    /// No token is available.
    pub(super) async fn token(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.login.current.load_full();
        if let Some(token) = &current
            && !self.is_worn(token).await
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
    pub(super) async fn look(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        match self.login.current.load_full() {
            Some(token) if !self.is_worn(&token).await => Ok(token),
            current => self.replace(current.map(|token| token.number), false, request).await,
        }
    }

    /// A token for a call that creates a secret. If tokens have a limited number of uses, the secret ends with the
    /// last use; then the call gets its own token.
    async fn exclusive_token(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.look(request).await?;
        if current.uses.is_none() {
            return Ok(current);
        }
        self.log_in_apart(request).await
    }

    /// A token of a separate login, with one use taken.
    async fn log_in_apart(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        self.login.log_in_apart(|attempt| self.log_in(attempt, None, true, request)).await
    }

    async fn is_worn(&self, token: &Token) -> bool {
        match &self.auth {
            // Only a new file can give another token, so its expiry is left to the store.
            VaultAuth::TokenFile(file) => {
                let seen = stamp(file).await;
                seen.is_some() && seen != token.stamp
            }
            VaultAuth::Kubernetes { .. } | VaultAuth::Jwt { .. } | VaultAuth::AppRole { .. } => token.has_ended(),
        }
    }

    /// After a 403: a new token if the used one has ended, `None` if it is valid and the 403 stands.
    ///
    /// # Errors
    /// The state of the token is unknown, or the login failed.
    async fn replacement_for(&self, used: &Arc<Token>, request: &RequestId) -> Result<Option<Arc<Token>>, ReadError> {
        if let Some(uses) = &used.uses {
            // A used-up token gets a 403. For the first call of a new token the 403 stands.
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
                self.blind.store(false, Ordering::Relaxed);
                return Ok(None);
            }
            Err(ReadError::Forbidden) => {}
            Err(error) => return Err(error),
        }
        if self.blind.load(Ordering::Relaxed) && used.since.elapsed() < SUSPECT_AGE {
            return Ok(None);
        }
        let fresh = self.replace(Some(used.number), false, request).await?;
        if fresh.number == used.number {
            // The file still holds the token that the store refuses.
            return Err(ReadError::Forbidden);
        }
        if self.look_up_token(&fresh, request).await == Err(ReadError::Forbidden) {
            self.blind.store(true, Ordering::Relaxed);
        }
        Ok(Some(fresh))
    }

    /// A new token for this caller only. Such logins are limited, because any forbidden path would cause one.
    async fn verifying_login(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        if self.was_verified_recently() {
            return Err(ReadError::Unavailable);
        }
        self.log_in_apart(request).await
    }

    /// Whether such a login was made less than [`MIN_VERIFYING_LOGIN_INTERVAL`] ago. If not, one is made now.
    fn was_verified_recently(&self) -> bool {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lately = doubted.is_some_and(|at| at.elapsed() < MIN_VERIFYING_LOGIN_INTERVAL);
        if !is_lately {
            *doubted = Some(Instant::now());
        }
        is_lately
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

    /// Logs in, unless another token than `worn` is in use by now. While logins fail, the old token stays. With `takes_use`,
    /// one use of the returned token is taken.
    ///
    /// # Errors
    /// The login failed.
    pub(super) async fn replace(
        &self,
        worn: Option<u64>,
        takes_use: bool,
        request: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let is_usable = |current: &Token| !takes_use || current.take_use();
        self.login.replace(worn, is_usable, |attempt, before| self.log_in(attempt, before, takes_use, request)).await
    }

    async fn log_in(
        &self,
        attempt: Attempt,
        before: Option<Arc<Token>>,
        takes_use: bool,
        request: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let logged_in = log_in(&self.exchange, &self.auth, attempt.has_worked, request).await?;
        let token = begin(logged_in, attempt, before.as_deref());
        if takes_use {
            token.take_use();
        }
        Ok(Arc::new(token))
    }

    /// Looks a token up at the store.
    ///
    /// # Errors
    /// `Forbidden` if it has ended or may not look itself up.
    pub(super) async fn look_up_token(&self, token: &Token, request: &RequestId) -> Result<Option<Grant>, ReadError> {
        let options = CallOptions::new(StoreOperation::Login, Target::group("auth/token/"));
        let answer = self.ask_with(token, options, LookupTokenSelfRequest {}, request, answers::own_token).await;
        answer.map_err(|failed| failed.error)
    }

    /// Sets the lifetime of a token, if it is still in use.
    pub(super) fn set_lifetime(&self, token: &Arc<Token>, life: TokenLifetime) {
        let noted = Arc::new(token.with_life(life));
        self.login.current.compare_and_swap(&Some(token.clone()), Some(noted));
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
            let worn = self.login.current.load_full().map(|token| token.number);
            // A failure is logged, and the old token stays.
            let _ = self.replace(worn, false, request).await;
        }
    }
}

/// The token of a login. The same token, read from its file again, keeps its number and its lifetime.
fn begin(logged_in: LoggedIn, Attempt { number, asked, .. }: Attempt, before: Option<&Token>) -> Token {
    let LoggedIn { header, grant, stamp, uses } = logged_in;
    if let Some(before) = before
        && before.header == header
    {
        return Token { stamp, ..before.with_life(before.life) };
    }
    let life = grant.map_or(TokenLifetime::Unknown, |grant| TokenLifetime::granted(asked, grant));
    Token { number, header, life, stamp, since: asked, uses: uses.map(Uses::new) }
}
