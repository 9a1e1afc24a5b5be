//! The broker's session at a Vault server: keeps its token, and logs in again when needed.

use super::call::{Call, CallOptions};
use super::login::{LoginResult, file_stamp, obtain_token};
use super::responses;
use super::server::VaultServer;
use super::token::{Token, TokenExpiry, TokenUses};
use crate::config::stores::VaultAuthMethod;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::current_login::{CurrentLogin, LoginAttempt, SUSPECT_FROM_AGE};
use crate::stores::dynamic_store::GrantedLifetime;
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use crate::stores::server_calls::CallError;
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
    pub(super) server: Arc<VaultServer>,
    auth: VaultAuthMethod,
    login: CurrentLogin<Token>,
    /// The time of the last verifying login.
    last_verifying_login: Mutex<Option<Instant>>,
    /// True if even a new token is refused its own look-up, because it lacks the `default` policy. Then a refused look-up does not
    /// show that a token is invalid.
    token_look_up_is_forbidden: AtomicBool,
}

impl VaultSession {
    /// Creates a session without a login.
    pub(super) fn new(server: Arc<VaultServer>, auth: VaultAuthMethod) -> Self {
        let is_file_based = matches!(auth, VaultAuthMethod::TokenFile(_));
        Self {
            server,
            auth,
            login: CurrentLogin::new(is_file_based),
            last_verifying_login: Mutex::default(),
            token_look_up_is_forbidden: AtomicBool::new(false),
        }
    }

    /// Makes a call with the broker's token. If the response is 403 and the token may be invalid (expired, revoked, used up or
    /// already replaced), repeats the call with another token, even if it creates a lease: a server creates nothing for an invalid
    /// token. Returns what `parse` made of the response, and the token.
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
        self.server.call(Call { endpoint, options, token: Some(&token.header) }, request_id, parse).await
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
            VaultAuthMethod::TokenFile(file) => {
                let stamp = file_stamp(file).await;
                stamp.is_some() && stamp != token.stamp
            }
            VaultAuthMethod::Kubernetes { .. } | VaultAuthMethod::Jwt { .. } | VaultAuthMethod::AppRole { .. } => {
                token.has_expired()
            }
        }
    }

    /// Another token after a 403, if the used one may be invalid or was already replaced. `None` if the used one is valid, so that
    /// the 403 concerns the path.
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
                self.token_look_up_is_forbidden.store(false, Ordering::Relaxed);
                return Ok(None);
            }
            Err(ReadError::Forbidden) => {}
            Err(error) => return Err(error),
        }
        if self.token_look_up_is_forbidden.load(Ordering::Relaxed) && used.requested_at.elapsed() < SUSPECT_FROM_AGE {
            return Ok(None);
        }
        let fresh = self.replace(Some(used.number), false, request_id).await?;
        if fresh.number == used.number {
            // The file still holds the token that the store refuses.
            return Err(ReadError::Forbidden);
        }
        if self.look_up_token(&fresh, request_id).await == Err(ReadError::Forbidden) {
            self.token_look_up_is_forbidden.store(true, Ordering::Relaxed);
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

    /// Logs in, unless the token in use has another number than `outdated_number`. If the login fails, the token in use is kept.
    /// With `takes_use`, one use of the returned token is taken.
    ///
    /// # Errors
    /// The login failed. With a token file, only if no token is in use.
    pub(super) async fn replace(
        &self,
        outdated_number: Option<u64>,
        takes_use: bool,
        request_id: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let try_use = |current: &Token| !takes_use || current.take_use();
        self.login
            .replace(outdated_number, try_use, |attempt, previous| {
                self.log_in(attempt, previous, takes_use, request_id)
            })
            .await
    }

    async fn log_in(
        &self,
        attempt: LoginAttempt,
        previous: Option<Arc<Token>>,
        takes_use: bool,
        request_id: &RequestId,
    ) -> Result<Arc<Token>, ReadError> {
        let result = obtain_token(&self.server, &self.auth, attempt.has_logged_in_before, request_id).await?;
        let token = token_from_login(result, attempt, previous.as_deref());
        if takes_use {
            token.take_use();
        }
        Ok(Arc::new(token))
    }

    /// Looks a token up at the server: its remaining lifetime, or `None` if it never expires.
    ///
    /// # Errors
    /// `Forbidden` if the token is not valid any more or is not allowed to look itself up.
    pub(super) async fn look_up_token(
        &self,
        token: &Token,
        request_id: &RequestId,
    ) -> Result<Option<GrantedLifetime>, ReadError> {
        let options = CallOptions::new(StoreOperation::Login, BreakerTarget::group("auth/token/"));
        let response =
            self.call_with(token, options, LookupTokenSelfRequest {}, request_id, responses::parse_token_lookup).await;
        response.map_err(|failed| failed.error)
    }

    /// Sets the expiry of the token, if it is still in use.
    pub(super) fn set_expiry(&self, token: &Arc<Token>, expiry: TokenExpiry) {
        let updated = Arc::new(token.with_expiry(expiry));
        self.login.current.compare_and_swap(&Some(token.clone()), Some(updated));
    }

    /// The number of the login under which leases are created now. 0 before the first login, and with tokens of limited uses.
    pub(super) fn lease_login_number(&self) -> u64 {
        self.login.current.load().as_ref().map_or(0, |token| token.lease_login_number())
    }

    /// Whether a login can give a new token.
    pub(super) const fn can_log_in(&self) -> bool {
        !matches!(self.auth, VaultAuthMethod::TokenFile(_))
    }

    /// Reads the token file again, if there is one.
    pub(super) async fn reload(&self, request_id: &RequestId) {
        if !self.can_log_in() {
            let outdated_number = self.login.current.load_full().map(|token| token.number);
            // A failure is logged, and the old token stays.
            let _ = self.replace(outdated_number, false, request_id).await;
        }
    }
}

/// Makes the token of a login. If the token file still has the previous token, its number and expiry are kept.
fn token_from_login(
    result: LoginResult,
    LoginAttempt { number, requested_at, .. }: LoginAttempt,
    previous: Option<&Token>,
) -> Token {
    let LoginResult { header, grant, stamp, uses } = result;
    if let Some(previous) = previous
        && previous.header == header
    {
        return Token { stamp, ..previous.with_expiry(previous.expiry) };
    }
    let expiry = grant.map_or(TokenExpiry::Unknown, |grant| TokenExpiry::from_grant(requested_at, grant));
    Token { number, header, expiry, stamp, requested_at, uses: uses.map(TokenUses::new) }
}
