//! The URL of a PostgreSQL server, or of several servers of which one is the primary. It may contain a password.

use super::postgres_options::Options;
pub use super::postgres_options::SessionTarget;
use crate::model::secret::SecretValue;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

/// Maximum number of hosts.
const MAX_HOSTS: usize = 8;
/// Default of `connect_timeout` with one host.
const SINGLE_HOST_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of `connect_timeout` for each of several hosts.
const EACH_HOST_TIMEOUT: Duration = Duration::from_secs(3);

const INVALID_URL_FAULT: &str = "must be a URL such as postgres://user:password@host:5432/database?sslmode=verify-full";

/// A validated URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// A URL for each host, in order, without options.
    host_urls: Vec<SecretValue>,
    has_password: bool,
    options: Options,
    password_file: Option<PathBuf>,
    /// The URL of the server itself, if this URL is that of a pooler.
    direct: Option<Box<PostgresUrl>>,
    allows_data_loss: bool,
}

impl PostgresUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The fault. It contains no part of the URL.
    pub fn new(url: String) -> Result<Self, &'static str> {
        let url = SecretValue::new(url);
        #[expect(clippy::disallowed_methods, reason = "its parts are checked, and kept as secrets")]
        let url = url.expose_secret();
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| base.strip_prefix(scheme));
        // The hosts may be in an option instead. The database is required.
        let (authority, database) = rest
            .ok_or(INVALID_URL_FAULT)?
            .split_once('/')
            // An `@` after the first slash means that the password contains that slash.
            .filter(|(_, database)| !database.is_empty() && !database.contains('@'))
            .ok_or("must name a database: postgres://user:password@host:5432/database")?;
        let (user, hosts) = authority
            .rsplit_once('@')
            .map_or(("", authority), |(_, hosts)| (&authority[..authority.len() - hosts.len()], hosts));
        let (options, option_hosts) = Options::parse(query)?;
        let hosts = match option_hosts {
            Some(option_hosts) if hosts.is_empty() => option_hosts,
            Some(_) => return Err("names its hosts twice: before the database and as an option. Remove one of them"),
            None => hosts.split(',').map(ToOwned::to_owned).collect(),
        };
        if hosts.len() > MAX_HOSTS {
            return Err("has more than 8 hosts");
        }
        if hosts.iter().any(|host| host.contains(['@', '?', '#', '\\'])) {
            return Err(INVALID_URL_FAULT);
        }
        // A host may be the folder of a socket.
        let host_url = |host: &String| format!("postgres://{user}{}/{database}", host.replace('/', "%2F"));
        let host_urls = hosts.iter().map(|host| SecretValue::new(host_url(host))).collect();
        let has_password = user.trim_end_matches('@').split_once(':').is_some_and(|(_, password)| !password.is_empty());
        let checked =
            Self { host_urls, has_password, options, password_file: None, direct: None, allows_data_loss: false };
        checked.options().map_err(|_| INVALID_URL_FAULT)?;
        Ok(checked)
    }

    /// Reads the password from this file for each new connection, also for the direct URL.
    #[must_use]
    pub fn with_password_file(mut self, file: PathBuf) -> Self {
        self.direct = self.direct.map(|direct| Box::new(direct.with_password_file(file.clone())));
        self.password_file = Some(file);
        self
    }

    /// Sets `database.allowDataLoss`.
    #[must_use]
    pub fn allowing_data_loss(mut self, allowed: bool) -> Self {
        self.direct = self.direct.map(|direct| Box::new(direct.allowing_data_loss(allowed)));
        self.allows_data_loss = allowed;
        self
    }

    /// Whether a server that may lose acknowledged commits in a failover is accepted.
    #[must_use]
    pub const fn allows_data_loss(&self) -> bool {
        self.allows_data_loss
    }

    /// Sets the URL for work that needs a session without a pooler: migrations and notifications.
    #[must_use]
    pub fn with_direct(mut self, direct: Self) -> Self {
        self.direct = Some(Box::new(direct));
        self
    }

    /// The URL for work that needs a session without a pooler, if one is set.
    #[must_use]
    pub fn direct(&self) -> Option<&Self> {
        self.direct.as_deref()
    }

    /// The file with the password.
    #[must_use]
    pub fn password_file(&self) -> Option<&Path> {
        self.password_file.as_deref()
    }

    /// Whether the URL contains a password.
    #[must_use]
    pub const fn has_password(&self) -> bool {
        self.has_password
    }

    /// The files of certificates and keys, each with the name of its option.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.options.files()
    }

    /// Which of the hosts is used. With several hosts the default is `read-write`, because Claviger can use only a primary.
    #[must_use]
    pub fn target(&self) -> SessionTarget {
        let default = if self.host_urls.len() > 1 { SessionTarget::ReadWrite } else { SessionTarget::Any };
        self.options.target.unwrap_or(default)
    }

    /// The time limit for connecting to one host.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        let default = if self.host_urls.len() > 1 { EACH_HOST_TIMEOUT } else { SINGLE_HOST_TIMEOUT };
        self.options.connect_timeout.unwrap_or(default)
    }

    /// Whether the identity of every server is verified: by certificate and name, or because it is on this machine. `verify-ca` does not
    /// suffice, because sqlx then accepts a certificate of any public authority.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        let Ok(hosts) = self.options() else { return false };
        hosts.iter().all(|host| matches!(host.get_ssl_mode(), PgSslMode::VerifyFull) || is_local(host))
    }

    /// Connect options for sqlx, for each host in order. What the URL omits is taken from the environment variables and the password
    /// file of libpq. `extra_float_digits` is not sent, because `PgBouncer` refuses it and no column is a floating point number.
    ///
    /// # Errors
    /// An environment variable has made the URL unusable since it was checked.
    pub fn options(&self) -> Result<Vec<PgConnectOptions>, sqlx::Error> {
        self.host_urls.iter().map(|url| Ok(self.options.apply(parse_options(url)?.extra_float_digits(None)))).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the password is for the server")]
fn parse_options(host_url: &SecretValue) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(host_url.expose_secret())?;
    // The brackets around an IPv6 address are removed, because its certificate does not contain them.
    let ipv6_address =
        options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(ToOwned::to_owned);
    Ok(match ipv6_address {
        Some(host) => options.host(&host),
        None => options,
    })
}

fn is_local(host: &PgConnectOptions) -> bool {
    let name = host.get_host();
    host.get_socket().is_some()
        || name.starts_with('/')
        || name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        let options = PostgresUrl::new(url.into()).expect(url).options().expect(url);
        let place = |host: &PgConnectOptions| {
            let socket = host.get_socket().map(|socket| socket.display().to_string());
            (socket.unwrap_or_else(|| host.get_host().to_owned()), host.get_port())
        };
        options.iter().map(place).collect()
    }

    #[test]
    fn accepts_valid_urls() {
        for url in [
            "postgres://h/d",
            "postgresql://u:p%40ss@h:5433/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://u@[::1]:5432/d?application_name=claviger",
            "postgres:///d?host=/run/postgresql",
        ] {
            assert!(PostgresUrl::new(url.into()).is_ok_and(|url| url.options().is_ok()), "{url}");
        }
    }

    #[test]
    fn hosts_keep_their_order_and_ports() {
        let of = |hosts: &[(&str, u16)]| hosts.iter().map(|(h, p)| ((*h).to_owned(), *p)).collect::<Vec<_>>();
        assert_eq!(hosts("postgres://u:p@a:1,b:2,[::1]:3/d"), of(&[("a", 1), ("b", 2), ("::1", 3)]));
        assert_eq!(hosts("postgres://u:p@a,b/d"), of(&[("a", 5432), ("b", 5432)]));
        assert_eq!(hosts("postgres:///d?host=a,b&port=1,2"), of(&[("a", 1), ("b", 2)]));
        assert_eq!(hosts("postgres:///d?host=a,b&port=7"), of(&[("a", 7), ("b", 7)]));
        assert_eq!(hosts("postgres://u:p@/d?host=%2Frun%2Fpg&port=7"), of(&[("/run/pg", 7)]));
    }

    #[test]
    fn several_hosts_have_other_defaults() {
        for (url, target, within) in [
            ("postgres://a/d", SessionTarget::Any, 10),
            ("postgres://a,b/d", SessionTarget::ReadWrite, 3),
            ("postgres://a,b/d?target_session_attrs=any&connect_timeout=7", SessionTarget::Any, 7),
            ("postgres://a/d?target_session_attrs=read-write", SessionTarget::ReadWrite, 10),
            ("postgres://a/d?target_session_attrs=primary", SessionTarget::Primary, 10),
        ] {
            let url = PostgresUrl::new(url.into()).expect(url);
            assert_eq!((url.target(), url.connect_timeout().as_secs()), (target, within), "{url:?}");
        }
    }

    #[test]
    fn refuses_invalid_urls_without_repeating_them() {
        for url in [
            "postgres://",
            "postgres://hunter2@h",
            "postgres://u:hunter2@h/",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h:1,h:port/d",
            "postgres://u:hunter2@/d",
            "postgres://u:hunter2@h/d?host=other",
            "postgres://u:hunter2@a,b,c,d,e,f,g,h,i/d",
            "postgres://u:hunter2@h/d?options=-c%20synchronous_commit%3Doff",
            "postgres://u:hunter2@h/d?options[synchronous_commit]=off",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "postgres://u:hunter2@h/d?sslmode=require&password=hunter2",
            "postgres://u:hun?ter2@h/d",
            "postgres://u:hunter2 @h o/d",
        ] {
            let why = PostgresUrl::new(url.into()).expect_err(url);
            assert!(!why.contains("hunter2") && !why.contains("ter2"));
        }
    }

    #[test]
    fn has_password_finds_a_password() {
        for (url, has_one) in [("u:p@h", true), ("u:@h", false), ("u@h", false), ("h", false), ("h:1", false)] {
            assert_eq!(PostgresUrl::new(format!("postgres://{url}/d")).expect(url).has_password(), has_one, "{url}");
        }
    }

    #[test]
    fn is_verified_needs_verify_full_or_this_machine() {
        for (url, verified) in [
            ("postgres://h/d?sslmode=verify-full", true),
            ("postgres://h/d?sslmode=verify-ca", false),
            ("postgres://h/d?sslmode=require", false),
            ("postgres://127.0.0.1/d", true),
            ("postgres://[::1]/d", true),
            ("postgres://127.0.0.1,h/d", false),
            ("postgres:///d?host=/run/pg", true),
        ] {
            assert_eq!(PostgresUrl::new(url.into()).expect(url).is_verified(), verified, "{url}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let url = PostgresUrl::new("postgres://u:hunter2@h/d".into()).expect("good");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
