//! Connecting to PostgreSQL: one host of the URL, with the current password, and with or without a pooler in between.

use super::durability;
use super::failed::ConnectError;
use super::session;
use crate::config::postgres_url::{PostgresUrl, SessionTarget};
use crate::sealing::random;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Row as _};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

/// Maximum length of a password. Short-lived ones are signed texts of one or two KiB.
const MAX_PASSWORD_BYTES: u64 = 16 * 1024;

/// The setting that marks a session: PostgreSQL takes it from the first message of a connection and shows it to that session alone.
/// A pooler refuses or ignores it, because its server connections serve several clients.
const MARK: &str = "claviger.session";

/// The mark, what the session can do, and what `durability` judges.
const FACTS: &str = "SELECT current_setting('claviger.session', true), current_setting('transaction_read_only'), \
     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery()";

/// The server that a URL names.
#[derive(Debug)]
pub struct Server {
    url: PostgresUrl,
    /// The host that accepted the last connection. It is tried first.
    first: AtomicUsize,
    /// Whether a mark was refused, and is not sent any more.
    refuses_marks: AtomicBool,
}

/// A new connection.
pub struct Connected {
    pub connection: PgConnection,
    /// Whether there is a pooler between, so that two statements may run in two sessions.
    pub pooled: bool,
}

impl Server {
    pub fn new(url: &PostgresUrl) -> Self {
        Self { url: url.clone(), first: AtomicUsize::new(0), refuses_marks: AtomicBool::new(false) }
    }

    /// The options that lead to the host of the last connection, with the current password.
    ///
    /// # Errors
    /// The password cannot be read.
    pub async fn last_host(&self) -> Result<PgConnectOptions, ConnectError> {
        let password = self.password().await?;
        let mut hosts = self.url.options()?;
        let index = self.first.load(Ordering::Relaxed) % hosts.len();
        Ok(complete(hosts.swap_remove(index), password.as_ref()))
    }

    async fn password(&self) -> Result<Option<Zeroizing<String>>, ConnectError> {
        match self.url.password_file() {
            Some(file) => read_password(file).await.map(Some),
            None => Ok(None),
        }
    }

    /// The first statement of each unit of work through a pooler.
    pub const fn guard(&self) -> &'static str {
        session::guard(self.url.allows_data_loss())
    }

    /// Connects to the first suitable host, each within the URL's time limit. As in libpq, a host that refuses the password ends
    /// the search.
    ///
    /// # Errors
    /// The error of the last host. If one answered that is not the wanted kind of server: that.
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let password = self.password().await?;
        let hosts = self.url.options()?;
        let first = self.first.load(Ordering::Relaxed);
        let (mut error, mut is_unsuitable) = (ConnectError::NoPrimary, false);
        for index in (0..hosts.len()).map(|number| (first + number) % hosts.len()) {
            let options = complete(hosts[index].clone(), password.as_ref());
            let attempt = tokio::time::timeout(self.url.connect_timeout(), self.connect_to(options)).await;
            match attempt.unwrap_or_else(|_| Err(ConnectError::Sqlx(io::Error::from(io::ErrorKind::TimedOut).into()))) {
                Ok(connected) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(failed) if !failed.tries_another_host() => return Err(failed),
                Err(failed) => {
                    is_unsuitable |= matches!(failed, ConnectError::NoPrimary);
                    error = failed;
                }
            }
        }
        Err(if is_unsuitable { ConnectError::NoPrimary } else { error })
    }

    async fn connect_to(&self, options: PgConnectOptions) -> Result<Connected, ConnectError> {
        let mark = if self.refuses_marks.load(Ordering::Relaxed) { None } else { mark() };
        let marked = match &mark {
            Some(mark) => options.clone().options([(MARK, mark)]),
            None => options.clone(),
        };
        let mut connection = match marked.connect().await {
            Err(error) if mark.is_some() && is_about_options(&error) => {
                let connection = options.connect().await?;
                self.refuses_marks.store(true, Ordering::Relaxed);
                connection
            }
            connection => connection?,
        };
        // Through a pooler, only the simple protocol leaves nothing behind in a server's session.
        let facts = sqlx::raw_sql(FACTS).fetch_one(&mut connection).await?;
        let shown: Option<String> = facts.try_get(0)?;
        if !self.is_suitable(&facts)? {
            return Err(ConnectError::NoPrimary);
        }
        if let Some(why) = durability::doubt(&facts, 2, self.url.allows_data_loss())? {
            return Err(ConnectError::MayForget(why));
        }
        Ok(Connected { connection, pooled: mark.is_none() || shown != mark })
    }

    fn is_suitable(&self, facts: &PgRow) -> Result<bool, sqlx::Error> {
        let (read_only, standby): (String, bool) = (facts.try_get(1)?, facts.try_get(5)?);
        Ok(match self.url.target() {
            SessionTarget::Any => true,
            SessionTarget::ReadWrite => read_only == "off",
            SessionTarget::Primary => !standby,
        })
    }
}

fn complete(host: PgConnectOptions, password: Option<&Zeroizing<String>>) -> PgConnectOptions {
    let host = host.disable_statement_logging();
    match password {
        Some(password) => host.password(password),
        None => host,
    }
}

/// `None` without random bytes; the connection is then used as if there were a pooler.
fn mark() -> Option<String> {
    let mut bytes = [0; 8];
    random::fill(&mut bytes).ok()?;
    Some(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Whether the server refuses an option of the connection, and neither the user nor the database nor the time. Only a pooler does.
fn is_about_options(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().unwrap_or_default();
    !["28", "3D", "53", "57"].iter().any(|class| code.starts_with(class))
}

async fn read_password(file: &Path) -> Result<Zeroizing<String>, ConnectError> {
    let read = async {
        let mut password = Zeroizing::new(String::with_capacity(1024));
        tokio::fs::File::open(file).await?.take(MAX_PASSWORD_BYTES).read_to_string(&mut password).await?;
        Ok::<_, io::Error>(password)
    };
    let mut password = read.await.map_err(|_| ConnectError::PasswordFile)?;
    let length = password.trim_end_matches(['\r', '\n']).len();
    password.truncate(length);
    if password.is_empty() { Err(ConnectError::PasswordFile) } else { Ok(password) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_the_file_without_the_end_of_its_line() {
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
    fn marks_differ() {
        assert_ne!(mark(), mark());
    }
}
