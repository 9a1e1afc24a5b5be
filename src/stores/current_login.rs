//! The credentials in use at a store, and the logins that replace them: one at a time, with a pause after a failed one.

use super::port::ReadError;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The pause after a failed login, for all callers.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Minimum age of credentials at which a refusal by the store causes a new login.
pub(super) const SUSPECT_FROM_AGE: Duration = Duration::from_mins(1);

/// Credentials of one login.
pub(super) trait Credentials {
    /// The number of the login. Numbers increase with each login.
    fn number(&self) -> u64;
}

/// One attempt to log in.
#[derive(Clone, Copy)]
pub(super) struct LoginAttempt {
    /// The number that the credentials get.
    pub(super) number: u64,
    /// The start of the attempt. A granted lifetime begins at this time.
    pub(super) requested_at: Instant,
    /// Whether a login has succeeded before.
    pub(super) has_logged_in_before: bool,
}

/// The credentials in use at one store.
pub(super) struct CurrentLogin<C> {
    /// The credentials in use.
    pub(super) current: ArcSwapOption<C>,
    /// Locked during a login. Waiting callers get its result.
    state: Mutex<LoginState>,
    /// Whether the credentials are in a file. Then there is no pause after a failure, and the last credentials stay in use.
    is_file_based: bool,
}

#[derive(Default)]
struct LoginState {
    /// Number of successful logins.
    logins: u64,
    last_failure: Option<(Instant, ReadError)>,
}

impl<C: Credentials> CurrentLogin<C> {
    /// Without credentials. `is_file_based` says that they are read from a file, and not granted by a server.
    pub(super) fn new(is_file_based: bool) -> Self {
        Self { current: ArcSwapOption::empty(), state: Mutex::default(), is_file_based }
    }

    /// Whether no login is under way.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    pub(super) fn is_idle(&self) -> bool {
        self.state.try_lock().is_ok()
    }

    /// Logs in, unless usable credentials with another number than `outdated` are already in use. If the login
    /// fails, the credentials in use are kept. `log_in` gets the credentials in use.
    ///
    /// # Errors
    /// The login failed, or one failed less than a second ago. With credentials in a file, only if none are in use.
    pub(super) async fn replace<F: Future<Output = Result<Arc<C>, ReadError>>>(
        &self,
        outdated: Option<u64>,
        try_use: impl Fn(&C) -> bool,
        log_in: impl FnOnce(LoginAttempt, Option<Arc<C>>) -> F,
    ) -> Result<Arc<C>, ReadError> {
        let mut state = self.state.lock().await;
        let current = self.current.load_full();
        if let Some(current) = &current
            && outdated != Some(current.number())
            && try_use(current)
        {
            return Ok(current.clone());
        }
        let previous = current.clone();
        match self.attempt(&mut state, |attempt| log_in(attempt, previous)).await {
            Ok(fresh) => {
                self.current.store(Some(fresh.clone()));
                Ok(fresh)
            }
            Err(error) if self.is_file_based => current.ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Logs in for one caller. The credentials in use are not replaced.
    ///
    /// # Errors
    /// The login failed, or one failed less than a second ago.
    pub(super) async fn log_in_separately<F: Future<Output = Result<Arc<C>, ReadError>>>(
        &self,
        log_in: impl FnOnce(LoginAttempt) -> F,
    ) -> Result<Arc<C>, ReadError> {
        let mut state = self.state.lock().await;
        self.attempt(&mut state, log_in).await
    }

    async fn attempt<F: Future<Output = Result<Arc<C>, ReadError>>>(
        &self,
        state: &mut LoginState,
        log_in: impl FnOnce(LoginAttempt) -> F,
    ) -> Result<Arc<C>, ReadError> {
        if let Some((failed_at, error)) = state.last_failure
            && failed_at.elapsed() < RETRY_PAUSE
        {
            return Err(error);
        }
        let (number, has_logged_in_before) = (state.logins + 1, state.logins > 0);
        let result = log_in(LoginAttempt { number, requested_at: Instant::now(), has_logged_in_before }).await;
        match &result {
            Ok(_) => {
                state.last_failure = None;
                state.logins += 1;
            }
            Err(error) if !self.is_file_based => state.last_failure = Some((Instant::now(), *error)),
            Err(_) => {}
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Ready, ready};

    struct Number(u64);

    impl Credentials for Number {
        fn number(&self) -> u64 {
            self.0
        }
    }

    fn granted(attempt: LoginAttempt) -> Ready<Result<Arc<Number>, ReadError>> {
        ready(Ok(Arc::new(Number(attempt.number))))
    }

    fn refused() -> Ready<Result<Arc<Number>, ReadError>> {
        ready(Err(ReadError::Forbidden))
    }

    async fn log_in(login: &CurrentLogin<Number>, outdated: Option<u64>) -> Result<u64, ReadError> {
        login.replace(outdated, |_| true, |attempt, _| granted(attempt)).await.map(|number| number.0)
    }

    async fn fail_to_log_in(login: &CurrentLogin<Number>, outdated: Option<u64>) -> Result<u64, ReadError> {
        login.replace(outdated, |_| true, |_, _| refused()).await.map(|number| number.0)
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_waited_for_a_login_get_its_credentials() {
        let login = CurrentLogin::new(false);
        assert_eq!(log_in(&login, None).await, Ok(1));
        assert_eq!(log_in(&login, None).await, Ok(1), "another caller has logged in before");
        assert_eq!(log_in(&login, Some(1)).await, Ok(2));
        assert_eq!(login.log_in_separately(granted).await.map(|number| number.0), Ok(3));
        assert_eq!(
            login.current.load().as_ref().map(|number| number.0),
            Some(2),
            "a separate login does not replace the credentials in use"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_not_retried_for_a_second() {
        let login = CurrentLogin::new(false);
        assert_eq!(fail_to_log_in(&login, None).await, Err(ReadError::Forbidden));
        assert_eq!(log_in(&login, None).await, Err(ReadError::Forbidden));
        tokio::time::advance(RETRY_PAUSE).await;
        assert_eq!(log_in(&login, None).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_of_a_file_that_becomes_unreadable_stay_in_use() {
        let login = CurrentLogin::new(true);
        assert_eq!(fail_to_log_in(&login, None).await, Err(ReadError::Forbidden));
        assert_eq!(log_in(&login, None).await, Ok(1), "there is no pause");
        assert_eq!(fail_to_log_in(&login, Some(1)).await, Ok(1));
        assert_eq!(log_in(&login, Some(1)).await, Ok(2));
    }
}
