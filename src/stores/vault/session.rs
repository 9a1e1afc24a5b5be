//! The broker's session at a store: which token is used, and when another one is fetched.

use super::answers;
use super::client::Call;
use super::exchange::{Exchange, Failed};
use super::login::{LoggedIn, log_in, stamp};
use super::token::{Life, Token};
use crate::config::stores::VaultAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::ReadError;
use crate::stores::dynamic::Grant;
use arc_swap::ArcSwapOption;
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// For how long a login that failed is not tried again, however many ask.
const LOGIN_PAUSE: Duration = Duration::from_secs(1);
/// How old a token has to be that may not ask after itself, to be replaced on suspicion.
const SUSPECT_AGE: Duration = Duration::from_mins(1);

/// One session.
pub(super) struct Session {
    pub(super) exchange: Arc<Exchange>,
    auth: VaultAuth,
    current: ArcSwapOption<Token>,
    /// Held while a login is on its way: one at a time, and whoever waits takes its token.
    gate: Mutex<Gate>,
    /// Whether even fresh tokens may not ask after themselves (no `default` policy), so that a refusal to tell
    /// is no sign of death.
    blind: AtomicBool,
}

#[derive(Default)]
struct Gate {
    logins: u64,
    failed: Option<(Instant, ReadError)>,
}

impl Session {
    /// A session that has not begun.
    pub(super) fn new(exchange: Arc<Exchange>, auth: VaultAuth) -> Self {
        let (current, gate, blind) = (ArcSwapOption::empty(), Mutex::default(), AtomicBool::new(false));
        Self { exchange, auth, current, gate, blind }
    }

    /// The token to use now, logging in where there is none.
    ///
    /// # Errors
    /// When none can be had.
    pub(super) async fn token(&self, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let Some(token) = self.current.load_full() else { return self.replace(None, request).await };
        let worn = match &self.auth {
            // Its end is for the store to say: we cannot get another one, only read the file again.
            VaultAuth::TokenFile(file) => {
                let seen = stamp(file).await;
                seen.is_some() && seen != token.stamp
            }
            VaultAuth::Kubernetes { .. } | VaultAuth::Jwt { .. } | VaultAuth::AppRole { .. } => token.has_ended(),
        };
        if worn { self.replace(Some(token.number), request).await } else { Ok(token) }
    }

    /// After a 403 with a token: another one if that was dead, none if it is alive and the 403 was meant.
    ///
    /// # Errors
    /// When nobody knows, or no other token can be had.
    pub(super) async fn if_dead(
        &self,
        used: &Arc<Token>,
        request: &RequestId,
    ) -> Result<Option<Arc<Token>>, ReadError> {
        let newer = self.current.load_full().filter(|current| current.number != used.number);
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
        let fresh = self.replace(Some(used.number), request).await?;
        if fresh.number == used.number {
            // The file still holds the token that the store refuses.
            return Err(ReadError::Forbidden);
        }
        if self.ask_after(&fresh, request).await == Err(ReadError::Forbidden) {
            self.blind.store(true, Ordering::Relaxed);
        }
        Ok(Some(fresh))
    }

    /// Logs in, unless someone else has since the token numbered `worn` was handed out. While it fails, the old
    /// token stays.
    ///
    /// # Errors
    /// When the login fails.
    pub(super) async fn replace(&self, worn: Option<u64>, request: &RequestId) -> Result<Arc<Token>, ReadError> {
        let mut gate = self.gate.lock().await;
        let current = self.current.load_full();
        if let Some(current) = &current
            && worn != Some(current.number)
        {
            return Ok(current.clone());
        }
        if let Some((at, error)) = gate.failed
            && at.elapsed() < LOGIN_PAUSE
        {
            return Err(error);
        }
        let asked = Instant::now();
        match log_in(&self.exchange, &self.auth, request).await {
            Ok(logged_in) => {
                gate.failed = None;
                gate.logins += 1;
                let token = Arc::new(begin(logged_in, asked, gate.logins, current.as_deref()));
                self.current.store(Some(token.clone()));
                Ok(token)
            }
            Err(error) => {
                // A file costs nothing to look at again, and what it held is still good.
                if matches!(self.auth, VaultAuth::TokenFile(_)) {
                    return current.ok_or(error);
                }
                gate.failed = Some((Instant::now(), error));
                Err(error)
            }
        }
    }

    /// Asks the store after a token.
    ///
    /// # Errors
    /// `Forbidden` where it is dead, or may not ask.
    pub(super) async fn ask_after(&self, token: &Token, request: &RequestId) -> Result<Option<Grant>, ReadError> {
        let path = "auth/token/lookup-self";
        let call = Call { method: Method::GET, path, token: Some(&token.header), body: None, once: false };
        let answer = self.exchange.ask(StoreOperation::Login, call, request, answers::own_token).await;
        answer.map_err(|Failed { error, .. }| error)
    }

    /// Notes what became known of a token's life, if it is still the one in use.
    pub(super) fn note_life(&self, token: &Arc<Token>, life: Life) {
        let noted = Arc::new(token.with_life(life));
        self.current.compare_and_swap(&Some(token.clone()), Some(noted));
    }

    /// The number of the token in use; 0 where there is none yet.
    pub(super) fn number(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |token| token.number)
    }

    /// Whether another token can be had than the one at hand.
    pub(super) const fn can_log_in(&self) -> bool {
        !matches!(self.auth, VaultAuth::TokenFile(_))
    }

    /// Reads the token file again, where there is one.
    pub(super) async fn reload(&self, request: &RequestId) {
        if !self.can_log_in() {
            let worn = self.current.load_full().map(|token| token.number);
            // What went wrong is logged, and the old token stays.
            let _ = self.replace(worn, request).await;
        }
    }
}

/// A token's life begins. The same token read from its file again keeps its number and what is known of it.
fn begin(logged_in: LoggedIn, asked: Instant, number: u64, before: Option<&Token>) -> Token {
    let LoggedIn { header, grant, stamp } = logged_in;
    if let Some(before) = before
        && before.header == header
    {
        return Token { stamp, ..before.with_life(before.life) };
    }
    let life = grant.map_or(Life::Unknown, |grant| Life::granted(asked, grant));
    Token { number, header, life, stamp, since: asked }
}
