//! Maintains the session in the background: logs in at the start, renews the token, logs in again if the token cannot be
//! renewed, and detects a changed token file. Reads do not wait for this task: a read without a token logs in itself.

use super::call::CallOptions;
use super::responses;
use super::session::VaultSession;
use super::token::{Token, TokenExpiry};
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::dynamic_store::GrantedLifetime;
use crate::stores::port::ReadError;
use crate::stores::renewal::retry_pause;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use vaultrs::api::token::requests::RenewTokenSelfRequest;

/// The interval at which a token file is checked for changes.
const FILE_CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// Minimum wait between two steps.
const MIN_WAIT: Duration = Duration::from_millis(500);

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
            wait.max(MIN_WAIT)
        } else {
            failures += 1;
            retry_pause(failures)
        };
        sleep(wait).await;
    }
}

/// Looks the token up, renews it or logs in, whichever is due. Returns the time until the next step.
async fn run_due_step(session: &VaultSession) -> Result<Duration, ReadError> {
    let request_id = RequestId::random();
    let token = session.current_token(&request_id).await?;
    if token.uses.is_some() {
        // A renewal would take one of the token's uses. The next call without a usable token logs in.
        return Ok(FILE_CHECK_INTERVAL);
    }
    let wait = match token.expiry {
        TokenExpiry::Unknown => look_up_lifetime(session, &token, &request_id).await?,
        TokenExpiry::Never => FILE_CHECK_INTERVAL,
        TokenExpiry::Until { renew_at, .. } if renew_at > Instant::now() => renew_at - Instant::now(),
        TokenExpiry::Until { grant, .. } => renew_token(session, &token, grant, &request_id).await?,
    };
    Ok(if session.can_log_in() { wait } else { wait.min(FILE_CHECK_INTERVAL) })
}

async fn look_up_lifetime(
    session: &VaultSession,
    token: &Arc<Token>,
    request_id: &RequestId,
) -> Result<Duration, ReadError> {
    let requested_at = Instant::now();
    let grant = session.look_up_token(token, request_id).await?;
    session.set_expiry(token, grant.map_or(TokenExpiry::Never, |grant| TokenExpiry::from_grant(requested_at, grant)));
    // The next step computes when the renewal is due.
    Ok(Duration::ZERO)
}

/// Renews a token, and returns the time until the next step. If the store grants less than half of the lifetime before, the
/// token nears its maximum lifetime, and a new login replaces it.
async fn renew_token(
    session: &VaultSession,
    token: &Arc<Token>,
    before: GrantedLifetime,
    request_id: &RequestId,
) -> Result<Duration, ReadError> {
    let requested_at = Instant::now();
    let renewed = if before.renewable { renew(session, token, request_id).await } else { Err(ReadError::Forbidden) };
    match renewed {
        Ok(grant) if grant.ttl >= before.ttl / 2 || !session.can_log_in() => {
            session.set_expiry(token, TokenExpiry::from_grant(requested_at, grant));
            Ok(Duration::ZERO)
        }
        _ if session.can_log_in() => {
            session.replace(Some(token.number), false, request_id).await.map(|_| Duration::ZERO)
        }
        // The token expires, unless another one is written to the file.
        _ => Ok(FILE_CHECK_INTERVAL),
    }
}

async fn renew(session: &VaultSession, token: &Token, request_id: &RequestId) -> Result<GrantedLifetime, ReadError> {
    let options = CallOptions::new(StoreOperation::Renew, BreakerTarget::group("auth/token/"));
    let response =
        session.call_with(token, options, RenewTokenSelfRequest::default(), request_id, responses::parse_renewal).await;
    response.map_err(|failed| failed.error)
}
