//! The broker's session at a Vault server: keeps its token, and logs in again when needed.

use super::call::{Call, CallOptions};
use super::exchange::Exchange;
use super::login::{LoginResult, file_stamp, log_in};
use super::responses;
use super::token::{Token, TokenExpiry, TokenUses};
use crate::config::stores::VaultAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::calls::CallError;
use crate::stores::dynamic::GrantedLifetime;
use crate::stores::login::{Login, LoginAttempt, SUSPECT_AGE};
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use rustify::endpoint::Endpoint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vaultrs::api::token::requests::LookupTokenSelfRequest;

/// Age up to which a token that was not used before is assumed to be valid.
const ASSUMED_VALID_FOR: Duration = Duration::from_secs(5);
/// Minimum interval between verifying logins, see [`VaultSession::verifying_login`].
const MIN_VERIFYING_LOGIN_INTERVAL: Duration = Duration::from_secs(1);

/// A broker's session at one server.
pub(super) struct VaultSession {
    pub(super) exchange: Arc<Exchange>,
    auth: VaultAuth,
    login: Login<Token>,
    /// The time of the last verifying login.
    last_verifying_login: Mutex<Option<Instant>>,
    /// Whether even new tokens may not look themselves up, because they lack the `default` policy. Then a refused look-up does
    /// not show that a token is invalid.
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

    /// Makes a call with the broker's token. If the response is 403 and the token has expired or was revoked, repeats the call
    /// with a new token, even if it creates a secret: a server creates nothing for an invalid token. Returns what `parse` made
    /// of the response, and the token.
    ///
    /// # Errors
    /// The error of `parse`, or of the login.
    pub(super) async fn call<E: Endpoint, T>(
        &self,
        options: CallOptions<'_>,
        endpoint: impl Fn() -> E,
        request_id: &RequestId,
        parse: impl Fn(&StoreResponse) -> Result<T, ReadError>,
    ) -> Result<(T, Arc<Token>), CallError> {
        let token =
            if options.creates_lease { self.exclusive_token(request_id).await } else { self.token(request_id).await };
        let token = token.map_err(CallError::not_sent)?;
        let error = match self.call_with(&token, options, endpoint(), request_id, &parse).await {
            Ok(response) => return Ok((response, token)),
            Err(error) if !error.credentials_suspect => return Err(error),
            Err(error) => error,
        };
        let Some(other) = self.replacement_for(&token, request_id).await.map_err(CallError::not_sent)? else {
            return Err(error);
        };
        let response = self.call_with(&other, options, endpoint(), request_id, &parse).await;
        if !options.creates_lease {
            self.share_token(&other);
        }
        Ok((response?, other))
    }

    /// Makes a call with one token.
    ///
    /// # Errors
    /// The error of `parse`.
    pub(super) async fn call_with<E: Endpoint, T>(
        &self,
        token: &Token,
        options: CallOptions<'_>,
        endpoint: E,
        request_id: &RequestId,
        parse: impl FnOnce(&StoreResponse) -> Result<T, ReadError>,
    ) -> Result<T, CallError> {
        let options = CallOptions { no_retry: options.no_retry || token.uses.is_some(), ..options };
        self.exchange.call(Call { endpoint, options, token: Some(&token.header) }, request_id, parse).await
    }

    /// The token for one call, of which one use is taken. Logs in if there is no usable token.
    ///
    /// # Errors
    /// No token is available.
    pub(super) async fn token(&self, request_id: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.login.current.load_full();
        if let Some(token) = &current
            && !self.is_outdated(token).await
            && token.take_use()
        {
            return Ok(token.clone());
        }
        self.replace(current.map(|token| token.number), true, request_id).await
    }

    /// The token in use, without taking one of its uses. Logs in if there is no valid token.
    ///
    /// # Errors
    /// No token is available.
    pub(super) async fn current_token(&self, request_id: &RequestId) -> Result<Arc<Token>, ReadError> {
        match self.login.current.load_full() {
            Some(token) if !self.is_outdated(&token).await => Ok(token),
            current => self.replace(current.map(|token| token.number), false, request_id).await,
        }
    }

    /// The token for a call that creates a secret. The server revokes a secret together with its token, so if the number of
    /// uses is limited, the call gets an exclusive token.
    async fn exclusive_token(&self, request_id: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.current_token(request_id).await?;
        if current.uses.is_none() {
            return Ok(current);
        }
        self.log_in_separately(request_id).await
    }

    /// Logs in without replacing the token in use. One use of the token is taken.
    async fn log_in_separately(&self, request_id: &RequestId) -> Result<Arc<Token>, ReadError> {
        self.login.log_in_separately(|attempt| self.log_in(attempt, None, true, request_id)).await
    }

    /// Whether the token must be replaced: it has expired, or its file has changed.
    async fn is_outdated(&self, token: &Token) -> bool {
        match &self.auth {
            // Without a changed file there is no other token, so the expiry is not checked.
            VaultAuth::TokenFile(file) => {
                let stamp = file_stamp(file).await;
                stamp.is_some() && stamp != token.stamp
            }
            VaultAuth::Kubernetes { .. } | VaultAuth::Jwt { .. } | VaultAuth::AppRole { .. } => token.has_expired(),
        }
    }

    /// Another token after a 403, if the used one is not valid any more. `None` if it is valid, so that the 403 concerns the
    /// path.
    ///
    /// # Errors
    /// It is unknown whether the token is valid, or the login failed.
    async fn replacement_for(
        &self,
        used: &Arc<Token>,
        request_id: &RequestId,
    ) -> Result<Option<Arc<Token>>, ReadError> {
        if let Some(uses) = &used.uses {
            // A token without remaining uses gets a 403 too. At the first use of a new token, the 403 concerns the path.
            return if uses.is_first() && used.requested_at.elapsed() < ASSUMED_VALID_FOR {
                Ok(None)
            } else {
                self.verifying_login(request_id).await.map(Some)
            };
        }
        let newer = self.login.current.load_full().filter(|current| current.number != used.number);
        if newer.is_some() {
            return Ok(newer);
        }
        match self.look_up_token(used, request_id).await {
            Ok(_) => {
                self.cannot_look_up_itself.store(false, Ordering::Relaxed);
                return Ok(None);
            }
            Err(ReadError::Forbidden) => {}
            Err(error) => return Err(error),
        }
        if self.cannot_look_up_itself.load(Ordering::Relaxed) && used.requested_at.elapsed() < SUSPECT_AGE {
            return Ok(None);
        }
        let fresh = self.replace(Some(used.number), false, request_id).await?;
        if fresh.number == used.number {
            // The file still holds the token that the store refuses.
            return Err(ReadError::Forbidden);
        }
        if self.look_up_token(&fresh, request_id).await == Err(ReadError::Forbidden) {
            self.cannot_look_up_itself.store(true, Ordering::Relaxed);
        }
        Ok(Some(fresh))
    }

    /// Logs in only to verify a 403: if the new token gets a 403 too, it concerns the path. Limited, because every read of a
    /// forbidden path would cause such a login.
    async fn verifying_login(&self, request_id: &RequestId) -> Result<Arc<Token>, ReadError> {
        if !self.begin_verifying_login() {
            return Err(ReadError::Unavailable);
        }
        self.log_in_separately(request_id).await
    }

    /// Returns whether a verifying login may be made now, and records its time.
    fn begin_verifying_login(&self) -> bool {
        let mut last_verifying_login = self.last_verifying_login.lock().unwrap_or_else(PoisonError::into_inner);
        let may_begin = last_verifying_login.is_none_or(|at| at.elapsed() >= MIN_VERIFYING_LOGIN_INTERVAL);
        if may_begin {
            *last_verifying_login = Some(Instant::now());
        }
        may_begin
    }

    /// Makes the remaining uses of a token from a separate login available to other calls.
    fn share_token(&self, token: &Arc<Token>) {
        if token.uses.is_some() {
            let newest = |current: &Option<Arc<Token>>| match current {
                Some(current) if current.number > token.number => Some(current.clone()),
                _ => Some(token.clone()),
            };
            self.login.current.rcu(newest);
        }
    }

    /// Logs in, unless another token than `outdated` is already in use. While logins fail, the old token stays. With
    /// `takes_use`, one use of the returned token is taken.
    ///
    /// # Errors
    /// The login failed.
    pub(super) async fn replace(
        &self,
        outdated: Option<u64>,
        takes_use: bool,
        request_id: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let is_usable = |current: &Token| !takes_use || current.take_use();
        self.login
            .replace(outdated, is_usable, |attempt, before| self.log_in(attempt, before, takes_use, request_id))
            .await
    }

    async fn log_in(
        &self,
        attempt: LoginAttempt,
        before: Option<Arc<Token>>,
        takes_use: bool,
        request_id: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let result = log_in(&self.exchange, &self.auth, attempt.has_worked, request_id).await?;
        let token = token_from_login(result, attempt, before.as_deref());
        if takes_use {
            token.take_use();
        }
        Ok(Arc::new(token))
    }

    /// Looks a token up at the server: its remaining lifetime, or `None` if it never expires.
    ///
    /// # Errors
    /// `Forbidden` if the token is not valid any more or may not look itself up.
    pub(super) async fn look_up_token(
        &self,
        token: &Token,
        request_id: &RequestId,
    ) -> Result<Option<GrantedLifetime>, ReadError> {
        let options = CallOptions::read_only(StoreOperation::Login, BreakerTarget::group("auth/token/"));
        let response =
            self.call_with(token, options, LookupTokenSelfRequest {}, request_id, responses::parse_token_lookup).await;
        response.map_err(|failed| failed.error)
    }

    /// Sets the lifetime of the token, if it is still in use.
    pub(super) fn set_lifetime(&self, token: &Arc<Token>, lifetime: TokenExpiry) {
        let updated = Arc::new(token.with_lifetime(lifetime));
        self.login.current.compare_and_swap(&Some(token.clone()), Some(updated));
    }

    /// The number of the session in which leases are created now. 0 before the first login.
    pub(super) fn number(&self) -> u64 {
        self.login.current.load().as_ref().map_or(0, |token| token.session())
    }

    /// Whether a login can give a new token.
    pub(super) const fn can_log_in(&self) -> bool {
        !matches!(self.auth, VaultAuth::TokenFile(_))
    }

    /// Reads the token file again, if there is one.
    pub(super) async fn reload(&self, request_id: &RequestId) {
        if !self.can_log_in() {
            let outdated = self.login.current.load_full().map(|token| token.number);
            // A failure is logged, and the old token stays.
            let _ = self.replace(outdated, false, request_id).await;
        }
    }
}

/// The token of a login. If its file still has the same token, its number and lifetime do not change.
fn token_from_login(
    result: LoginResult,
    LoginAttempt { number, requested_at, .. }: LoginAttempt,
    before: Option<&Token>,
) -> Token {
    let LoginResult { header, grant, stamp, uses } = result;
    if let Some(before) = before
        && before.header == header
    {
        return Token { stamp, ..before.with_lifetime(before.lifetime) };
    }
    let lifetime = grant.map_or(TokenExpiry::Unknown, |grant| TokenExpiry::from_grant(requested_at, grant));
    Token { number, header, lifetime, stamp, requested_at, uses: uses.map(TokenUses::new) }
}
