//! Connecting to PostgreSQL: finds a suitable host of the URL, reads the current password, and detects a pooler.

use super::durability;
use super::errors::OpenError;
use super::session_settings;
use crate::config::postgres_url::{PostgresUrl, SessionTarget};
use crate::sealing::random;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Row as _};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

/// Maximum length of a password. Short-lived passwords of clouds are signed tokens of one or two KiB.
const MAX_PASSWORD_BYTES: u64 = 16 * 1024;

/// A setting with a random value, which detects poolers. PostgreSQL takes it from the startup message of a connection and
/// returns it in that session. A pooler refuses or ignores it, because each of its server connections is shared by several
/// clients.
const MARKER: &str = "claviger.session";

/// Selects the marker, whether the session is read-only, and from column 2 on the columns of [`durability::data_loss_reason`].
const SESSION_STATE: &str = "SELECT current_setting('claviger.session', true), current_setting('transaction_read_only'), \
     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery()";

/// The PostgreSQL server of a URL, which may have several hosts.
#[derive(Debug)]
pub struct Server {
    url: PostgresUrl,
    /// The index of the host that accepted the last connection. It is tried first.
    last_host: AtomicUsize,
    /// Whether a marker was refused. From then on none is sent.
    refuses_marker: AtomicBool,
}

pub struct NewConnection {
    pub connection: PgConnection,
    /// Whether it leads through a pooler, so that two statements may run in two sessions.
    pub uses_pooler: bool,
}

impl Server {
    pub fn new(url: &PostgresUrl) -> Self {
        Self { url: url.clone(), last_host: AtomicUsize::new(0), refuses_marker: AtomicBool::new(false) }
    }

    /// The options for a connection to the host that accepted the last one, with the current password.
    ///
    /// # Errors
    /// The password cannot be read.
    pub async fn last_host_options(&self) -> Result<PgConnectOptions, OpenError> {
        let password = self.password().await?;
        let mut hosts = self.url.options()?;
        let index = self.last_host.load(Ordering::Relaxed) % hosts.len();
        Ok(with_password(hosts.swap_remove(index), password.as_ref()))
    }

    async fn password(&self) -> Result<Option<Zeroizing<String>>, OpenError> {
        match self.url.password_file() {
            Some(file) => read_password(file).await.map(Some),
            None => Ok(None),
        }
    }

    /// The first statement of each transaction through a pooler.
    pub const fn guard(&self) -> &'static str {
        session_settings::guard(self.url.allows_data_loss())
    }

    /// Connects to the first suitable host. Each attempt has the URL's time limit. As in libpq, a host that refuses the
    /// password ends the search.
    ///
    /// # Errors
    /// [`OpenError::NoPrimary`] if one of the hosts is not the wanted kind of server, else the error of the last host.
    pub async fn connect(&self) -> Result<NewConnection, OpenError> {
        let password = self.password().await?;
        let hosts = self.url.options()?;
        let last_host = self.last_host.load(Ordering::Relaxed);
        let (mut error, mut is_unsuitable) = (OpenError::NoPrimary, false);
        for index in (0..hosts.len()).map(|offset| (last_host + offset) % hosts.len()) {
            let options = with_password(hosts[index].clone(), password.as_ref());
            let attempt = tokio::time::timeout(self.url.connect_timeout(), self.connect_to(options)).await;
            match attempt.unwrap_or_else(|_| Err(OpenError::Sqlx(io::Error::from(io::ErrorKind::TimedOut).into()))) {
                Ok(connected) => {
                    self.last_host.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(other) if !other.allows_next_host() => return Err(other),
                Err(other) => {
                    is_unsuitable |= matches!(other, OpenError::NoPrimary);
                    error = other;
                }
            }
        }
        Err(if is_unsuitable { OpenError::NoPrimary } else { error })
    }

    async fn connect_to(&self, options: PgConnectOptions) -> Result<NewConnection, OpenError> {
        let marker = if self.refuses_marker.load(Ordering::Relaxed) { None } else { new_marker() };
        let with_marker = match &marker {
            Some(marker) => options.clone().options([(MARKER, marker)]),
            None => options.clone(),
        };
        let mut connection = match with_marker.connect().await {
            Err(error) if marker.is_some() && is_option_refusal(&error) => {
                let connection = options.connect().await?;
                self.refuses_marker.store(true, Ordering::Relaxed);
                connection
            }
            connection => connection?,
        };
        // The simple query protocol, which leaves no prepared statement in a pooler's server session.
        let state = sqlx::raw_sql(SESSION_STATE).fetch_one(&mut connection).await?;
        let reported: Option<String> = state.try_get(0)?;
        if !self.is_suitable(&state)? {
            return Err(OpenError::NoPrimary);
        }
        if let Some(reason) = durability::data_loss_reason(&state, 2, self.url.allows_data_loss())? {
            return Err(OpenError::MayLoseCommits(reason));
        }
        Ok(NewConnection { connection, uses_pooler: marker.is_none() || reported != marker })
    }

    fn is_suitable(&self, state: &PgRow) -> Result<bool, sqlx::Error> {
        let (read_only, standby): (String, bool) = (state.try_get(1)?, state.try_get(5)?);
        Ok(match self.url.target() {
            SessionTarget::Any => true,
            SessionTarget::ReadWrite => read_only == "off",
            SessionTarget::Primary => !standby,
        })
    }
}

fn with_password(host: PgConnectOptions, password: Option<&Zeroizing<String>>) -> PgConnectOptions {
    let host = host.disable_statement_logging();
    match password {
        Some(password) => host.password(password),
        None => host,
    }
}

/// `None` if random bytes are not available. The connection is then used as if it led through a pooler.
fn new_marker() -> Option<String> {
    let mut bytes = [0; 8];
    random::fill(&mut bytes).ok()?;
    Some(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Whether a pooler refused an option of the connection. A server refuses the user (SQLSTATE class 28), the database (3D), or
/// any connection for now (53, 57).
fn is_option_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().unwrap_or_default();
    !["28", "3D", "53", "57"].iter().any(|class| code.starts_with(class))
}

async fn read_password(file: &Path) -> Result<Zeroizing<String>, OpenError> {
    let read = async {
        let mut password = Zeroizing::new(String::with_capacity(1024));
        tokio::fs::File::open(file).await?.take(MAX_PASSWORD_BYTES).read_to_string(&mut password).await?;
        Ok::<_, io::Error>(password)
    };
    let mut password = read.await.map_err(|_| OpenError::PasswordFile)?;
    let length = password.trim_end_matches(['\r', '\n']).len();
    password.truncate(length);
    if password.is_empty() { Err(OpenError::PasswordFile) } else { Ok(password) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn read_password_removes_line_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        for (text, password) in [("hunter2", Some("hunter2")), (" a b \r\n\n", Some(" a b ")), ("", None), ("\n", None)]
        {
            std::fs::write(&file, text).expect("written");
            assert_eq!(read_password(&file).await.ok().as_ref().map(|found| found.as_str()), password, "{text:?}");
        }
        assert!(read_password(&folder.path().join("none")).await.is_err());
    }

    #[test]
    fn markers_differ() {
        assert_ne!(new_marker(), new_marker());
    }
}
