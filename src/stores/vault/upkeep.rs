//! Maintains the session in the background: logs in at the start, renews the token, logs in again if it cannot be renewed,
//! and notices a changed token file. No read waits for it: a read without a token logs in itself.

use super::call::CallOptions;
use super::responses;
use super::session::VaultSession;
use super::token::{Token, TokenExpiry};
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::sealing::random::jitter;
use crate::stores::breaker::BreakerTarget;
use crate::stores::dynamic::Lifetime;
use crate::stores::port::ReadError;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use vaultrs::api::token::requests::RenewTokenSelfRequest;

/// The period of the check of a token file.
const FILE_CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// The least wait between two steps.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait after failures in a row.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The task that maintains the session. It ends when this is dropped.
pub(super) struct Upkeep(JoinHandle<()>);

impl Upkeep {
    /// Starts the task.
    pub(super) fn start(session: Arc<VaultSession>) -> Self {
        Self(tokio::spawn(run(session)))
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(session: Arc<VaultSession>) {
    let mut failures = 0;
    loop {
        let wait = if let Ok(wait) = run_due_step(&session).await {
            failures = 0;
            wait.max(SHORTEST_WAIT)
        } else {
            failures += 1;
            backoff(failures)
        };
        sleep(wait).await;
    }
}

/// The wait after failures in a row: 1 s, 2 s, 4 s, ... plus up to half as much at random, so that replicas do not retry
/// together.
fn backoff(failures: u32) -> Duration {
    let base = Duration::from_secs(1).saturating_mul(1 << (failures - 1).min(5)).min(LONGEST_BACKOFF);
    base.mul_f64(jitter(1.0..1.5))
}

/// Looks the token up, renews it or logs in, if that is due. Returns the time until the next step.
async fn run_due_step(session: &VaultSession) -> Result<Duration, ReadError> {
    let request = RequestId::random();
    let token = session.current_token(&request).await?;
    if token.uses.is_some() {
        // A renewal would take one of its uses. A new login follows when needed.
        return Ok(FILE_CHECK_INTERVAL);
    }
    let wait = match token.lifetime {
        TokenExpiry::Unknown => look_up_lifetime(session, &token, &request).await?,
        TokenExpiry::Endless => FILE_CHECK_INTERVAL,
        TokenExpiry::Until { renew_at, .. } if renew_at > Instant::now() => renew_at - Instant::now(),
        TokenExpiry::Until { grant, .. } => renew_token(session, &token, grant, &request).await?,
    };
    Ok(if session.can_log_in() { wait } else { wait.min(FILE_CHECK_INTERVAL) })
}

async fn look_up_lifetime(
    session: &VaultSession,
    token: &Arc<Token>,
    request: &RequestId,
) -> Result<Duration, ReadError> {
    let requested_at = Instant::now();
    let grant = session.look_up_token(token, request).await?;
    session
        .set_lifetime(token, grant.map_or(TokenExpiry::Endless, |grant| TokenExpiry::from_grant(requested_at, grant)));
    // The next step computes when the renewal is due.
    Ok(Duration::ZERO)
}

/// Renews a token. Grants shrink as a token nears its maximum lifetime; then a new login follows.
async fn renew_token(
    session: &VaultSession,
    token: &Arc<Token>,
    before: Lifetime,
    request: &RequestId,
) -> Result<Duration, ReadError> {
    let requested_at = Instant::now();
    let renewed = if before.renewable { renew(session, token, request).await } else { Err(ReadError::Forbidden) };
    match renewed {
        Ok(grant) if grant.ttl >= before.ttl / 2 || !session.can_log_in() => {
            session.set_lifetime(token, TokenExpiry::from_grant(requested_at, grant));
            Ok(Duration::ZERO)
        }
        _ if session.can_log_in() => session.replace(Some(token.number), false, request).await.map(|_| Duration::ZERO),
        // The token expires, unless the file gets another one.
        _ => Ok(FILE_CHECK_INTERVAL),
    }
}

async fn renew(session: &VaultSession, token: &Token, request: &RequestId) -> Result<Lifetime, ReadError> {
    let options = CallOptions::read_only(StoreOperation::Renew, BreakerTarget::group("auth/token/"));
    let response =
        session.call_with(token, options, RenewTokenSelfRequest::default(), request, responses::parse_renewal).await;
    response.map_err(|failed| failed.error)
}
