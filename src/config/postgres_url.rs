//! The URL of a PostgreSQL server. It may hold a password.

use crate::model::secret::SecretValue;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::net::IpAddr;
use std::str::FromStr as _;

/// The allowed options after `?`. Session settings are not allowed: they could undo what is checked at start.
const OPTIONS: [&str; 6] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "application_name"];

/// A checked URL. Whether a connection succeeds is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl(SecretValue);

impl PostgresUrl {
    /// Checks a URL that begins with `postgres://` or `postgresql://`.
    ///
    /// # Errors
    /// The fault, without any part of the URL.
    pub fn new(url: String) -> Result<Self, &'static str> {
        let (place, options) = url.split_once('?').unwrap_or((&url, ""));
        let rest = place.split_once("://").map_or("", |(_, rest)| rest);
        // The host may be omitted for a socket folder, which is an option. The database is required.
        if rest.split_once('/').is_none_or(|(_, database)| database.is_empty()) {
            return Err("must name a database: postgres://user:password@host:5432/database");
        }
        let mut keys = options.split('&').filter(|option| !option.is_empty()).map(|o| o.split('=').next().unwrap_or(o));
        if !keys.all(|key| OPTIONS.contains(&key)) {
            return Err("has an option other than sslmode, sslrootcert, sslcert, sslkey, host, application_name");
        }
        if PgConnectOptions::from_str(&url).is_err() {
            return Err("must be a URL such as postgres://user:password@host:5432/database?sslmode=verify-full");
        }
        Ok(Self(SecretValue::new(url)))
    }

    /// Whether the server's identity is assured: its certificate is checked, or it is on this machine.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        let Ok(options) = self.options() else { return false };
        let is_checked = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        let host = options.get_host().trim_matches(['[', ']']);
        let is_local = options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        is_checked || is_local
    }

    /// Connect options for sqlx. The environment variables and the password file of libpq complete what the URL
    /// omits.
    ///
    /// # Errors
    /// An environment variable has made the URL unusable since it was checked.
    #[expect(clippy::disallowed_methods, reason = "the password is for the server")]
    pub fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_str(self.0.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_can_be_connected_to() {
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
    fn refuses_the_rest_and_repeats_nothing() {
        for url in [
            "postgres://",
            "postgres://hunter2@h",
            "postgres://u:hunter2@h/",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?options=-c%20synchronous_commit%3Doff",
            "postgres://u:hunter2@h/d?options[synchronous_commit]=off",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "postgres://u:hunter2@h/d?sslmode=require&password=hunter2",
            "postgres://u:hunter2 @h o/d",
        ] {
            let why = PostgresUrl::new(url.into()).expect_err(url);
            assert!(!why.contains("hunter2"));
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let url = PostgresUrl::new("postgres://u:hunter2@h/d".into()).expect("good");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
