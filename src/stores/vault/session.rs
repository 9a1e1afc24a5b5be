//! The broker's session at a store: which token is used, and when another one is fetched.

use super::answers;
use super::call::{Call, CallOptions};
use super::client::Answer;
use super::exchange::{Exchange, Failed};
use super::login::{LoggedIn, log_in, stamp};
use super::token::{Life, Token, Uses};
use crate::config::stores::VaultAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::Target;
use crate::stores::dynamic::Grant;
use crate::stores::login::{Attempt, Login, SUSPECT_AGE};
use crate::stores::port::ReadError;
use rustify::endpoint::Endpoint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vaultrs::api::token::requests::LookupTokenSelfRequest;

/// How old a token is at most that cannot have been revoked before its first use.
const FRESH: Duration = Duration::from_secs(5);
/// From one login whose only purpose is to find out whether a refusal was meant, to the next.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// One session.
pub(super) struct Session {
    pub(super) exchange: Arc<Exchange>,
    auth: VaultAuth,
    login: Login<Token>,
    /// When a login was made only to find out whether a refusal was meant.
    doubted: Mutex<Option<Instant>>,
    /// Whether even fresh tokens may not ask after themselves (no `default` policy), so that a refusal to tell
    /// is no sign of death.
    blind: AtomicBool,
}

impl Session {
    /// A session that has not begun.
    pub(super) fn new(exchange: Arc<Exchange>, auth: VaultAuth) -> Self {
        let login = Login::new(matches!(auth, VaultAuth::TokenFile(_)));
        Self { exchange, auth, login, doubted: Mutex::default(), blind: AtomicBool::new(false) }
    }

    /// Makes a call with the broker's token, and again with a new token if the first one is dead: the server answers a dead
    /// token like a forbidden path, and creates nothing. Returns the meaning of the answer and the token that got it.
    ///
    /// # Errors
    /// What `meaning` says, and what meets a login.
    pub(super) async fn ask<E: Endpoint, T>(
        &self,
        options: CallOptions<'_>,
        endpoint: impl Fn() -> E,
        request: &RequestId,
        meaning: impl Fn(&Answer) -> Result<T, ReadError>,
    ) -> Result<(T, Arc<Token>), Failed> {
        let token = if options.binds_token { self.token_to_itself(request).await } else { self.token(request).await };
        let token = token.map_err(Failed::of)?;
        let failed = match self.ask_with(&token, options, endpoint(), request, &meaning).await {
            Ok(answer) => return Ok((answer, token)),
            Err(failed) if !failed.forbidden => return Err(failed),
            Err(failed) => failed,
        };
        let Some(other) = self.other_than(&token, request).await.map_err(Failed::of)? else { return Err(failed) };
        let answer = self.ask_with(&other, options, endpoint(), request, &meaning).await;
        self.put_in_use(&other);
        Ok((answer?, other))
    }

    /// Makes a call with one token.
    ///
    /// # Errors
    /// What `meaning` says.
    pub(super) async fn ask_with<E: Endpoint, T>(
        &self,
        token: &Token,
        options: CallOptions<'_>,
        endpoint: E,
        request: &RequestId,
        meaning: impl FnOnce(&Answer) -> Result<T, ReadError>,
    ) -> Result<T, Failed> {
        let options = CallOptions { once: options.once || token.uses.is_some(), ..options };
        self.exchange.ask(Call { endpoint, options, token: Some(&token.header) }, request, meaning).await
    }

    /// A token for one call, logging in where there is none.
    ///
    /// # Errors
    /// When none can be had.
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

    /// The token that is in use, logging in where there is none. No call may be made with it.
    ///
    /// # Errors
    /// When none can be had.
    pub(super) async fn look(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        match self.login.current.load_full() {
            Some(token) if !self.is_worn(&token).await => Ok(token),
            current => self.replace(current.map(|token| token.number), false, request).await,
        }
    }

    /// A token for a call that makes something. Where tokens are good for some calls only, what is made ends with the last
    /// of them: then it has a token to itself, with which no other call is made.
    async fn token_to_itself(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let current = self.look(request).await?;
        if current.uses.is_none() {
            return Ok(current);
        }
        self.log_in_apart(request).await
    }

    /// A token of a login of its own, with one use taken.
    async fn log_in_apart(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        self.login.log_in_apart(|attempt| self.log_in(attempt, None, true, request)).await
    }

    async fn is_worn(&self, token: &Token) -> bool {
        match &self.auth {
            // Its end is for the store to say: we cannot get another one, only read the file again.
            VaultAuth::TokenFile(file) => {
                let seen = stamp(file).await;
                seen.is_some() && seen != token.stamp
            }
            VaultAuth::Kubernetes { .. } | VaultAuth::Jwt { .. } | VaultAuth::AppRole { .. } => token.has_ended(),
        }
    }

    /// After a 403 with a token: another one if that was dead, none if it is alive and the 403 was meant.
    ///
    /// # Errors
    /// When nobody knows, or no other token can be had.
    async fn other_than(&self, used: &Arc<Token>, request: &RequestId) -> Result<Option<Arc<Token>>, ReadError> {
        if let Some(uses) = &used.uses {
            // A token that was used up by others is answered so. Of a fresh one that only this call was made with it is meant.
            return if uses.is_first() && used.since.elapsed() < FRESH {
                Ok(None)
            } else {
                self.unshared(request).await.map(Some)
            };
        }
        let newer = self.login.current.load_full().filter(|current| current.number != used.number);
        if newer.is_some() {
            return Ok(newer);
        }
        match self.ask_after(used, request).await {
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
        if self.ask_after(&fresh, request).await == Err(ReadError::Forbidden) {
            self.blind.store(true, Ordering::Relaxed);
        }
        Ok(Some(fresh))
    }

    /// A fresh token that nobody else makes calls with. Logins are dear: one in a while, whoever asks for what is
    /// forbidden.
    async fn unshared(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        if self.is_doubted_lately() {
            return Err(ReadError::Unavailable);
        }
        self.log_in_apart(request).await
    }

    /// Whether such a login was made less than [`DOUBT_PAUSE`] ago. If not, one is made now.
    fn is_doubted_lately(&self) -> bool {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lately = doubted.is_some_and(|at| at.elapsed() < DOUBT_PAUSE);
        if !is_lately {
            *doubted = Some(Instant::now());
        }
        is_lately
    }

    /// What is left of a token that one call had to itself is for all.
    fn put_in_use(&self, token: &Arc<Token>) {
        if token.uses.is_some() {
            let newest = |current: &Option<Arc<Token>>| match current {
                Some(current) if current.number > token.number => Some(current.clone()),
                _ => Some(token.clone()),
            };
            self.login.current.rcu(newest);
        }
    }

    /// Logs in, unless someone else has since the token numbered `worn` was handed out. While it fails, the old
    /// token stays. With `takes_use`, a call may be made with what is returned.
    ///
    /// # Errors
    /// When the login fails.
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

    /// Asks the store after a token.
    ///
    /// # Errors
    /// `Forbidden` where it is dead, or may not ask.
    pub(super) async fn ask_after(&self, token: &Token, request: &RequestId) -> Result<Option<Grant>, ReadError> {
        let options = CallOptions::new(StoreOperation::Login, Target::group("auth/token/"));
        let answer = self.ask_with(token, options, LookupTokenSelfRequest {}, request, answers::own_token).await;
        answer.map_err(|failed| failed.error)
    }

    /// Notes what became known of a token's life, if it is still the one in use.
    pub(super) fn note_life(&self, token: &Arc<Token>, life: Life) {
        let noted = Arc::new(token.with_life(life));
        self.login.current.compare_and_swap(&Some(token.clone()), Some(noted));
    }

    /// The session that leases are made in now; 0 where there is none yet.
    pub(super) fn number(&self) -> u64 {
        self.login.current.load().as_ref().map_or(0, |token| token.session())
    }

    /// Whether another token can be had than the one at hand.
    pub(super) const fn can_log_in(&self) -> bool {
        !matches!(self.auth, VaultAuth::TokenFile(_))
    }

    /// Reads the token file again, where there is one.
    pub(super) async fn reload(&self, request: &RequestId) {
        if !self.can_log_in() {
            let worn = self.login.current.load_full().map(|token| token.number);
            // What went wrong is logged, and the old token stays.
            let _ = self.replace(worn, false, request).await;
        }
    }
}

/// A token's life begins. The same token read from its file again keeps its number and what is known of it.
fn begin(logged_in: LoggedIn, Attempt { number, asked, .. }: Attempt, before: Option<&Token>) -> Token {
    let LoggedIn { header, grant, stamp, uses } = logged_in;
    if let Some(before) = before
        && before.header == header
    {
        return Token { stamp, ..before.with_life(before.life) };
    }
    let life = grant.map_or(Life::Unknown, |grant| Life::granted(asked, grant));
    Token { number, header, life, stamp, since: asked, uses: uses.map(Uses::new) }
}
