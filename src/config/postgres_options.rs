//! The options of a PostgreSQL URL, with libpq's names and meanings. Session settings are refused, because they could override
//! settings that are checked at start.

use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bounds of `connect_timeout` in seconds. 0, with which libpq waits forever, is refused.
const CONNECT_TIMEOUT: std::ops::RangeInclusive<u64> = 1..=60;

/// Options of libpq that are refused, each with what to write instead.
const REFUSED_OPTIONS: [(&str, &str); 21] = [
    (
        "options",
        "must not have the option options: session settings could override what is checked at start. Set them with ALTER ROLE",
    ),
    ("password", "must not have the option password: write it before the host, or use database.passwordFile"),
    ("passfile", "must not have the option passfile: write database.passwordFile, a file with only the password"),
    ("user", "must not have the option user: write the user before the host"),
    ("dbname", "must not have the option dbname: write the database after the hosts"),
    ("hostaddr", "must not have the option hostaddr: write the address as the host"),
    (
        "load_balance_hosts",
        "must not have the option load_balance_hosts: only the primary is used, and hosts are tried in order",
    ),
    ("sslpassword", "must not have the option sslpassword: write a key file without a passphrase into sslkey"),
    ("sslcrl", "must not have the option sslcrl: revocation lists are not read"),
    ("sslcrldir", "must not have the option sslcrldir: revocation lists are not read"),
    (
        "sslnegotiation",
        "must not have the option sslnegotiation: TLS is requested as PostgreSQL 15 expects it. Remove it",
    ),
    ("requiressl", "must not have the option requiressl: write sslmode=verify-full"),
    ("channel_binding", "must not have the option channel_binding: it is not used. Write sslmode=verify-full"),
    ("gssencmode", "must not have the option gssencmode: GSSAPI is not used. Remove it"),
    ("krbsrvname", "must not have the option krbsrvname: GSSAPI is not used. Remove it"),
    ("service", "must not have the option service: write its settings into the URL"),
    ("fallback_application_name", "must not have the option fallback_application_name: write application_name"),
    ("client_encoding", "must not have the option client_encoding: it is always UTF8. Remove it"),
    ("pgbouncer", "must not have the option pgbouncer: a pooler is recognised without it. Remove it"),
    ("keepalives", "must not have the option keepalives: idle connections are tested before use. Remove it"),
    ("replication", "must not have the option replication"),
];

const UNKNOWN_OPTION_FAULT: &str = "has an option other than sslmode, sslrootcert, sslcert, sslkey, target_session_attrs, \
     connect_timeout, host, port, application_name. Remove it, or percent-encode the ? of a password as %3F";

/// Which of the hosts is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTarget {
    /// The first that accepts the connection.
    Any,
    /// The first whose sessions accept writes: `transaction_read_only` is off.
    ReadWrite,
    /// The first that is not a standby.
    Primary,
}

/// The trusted root certificates. The certificates of a file are added to the public ones.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Roots {
    Public,
    File(PathBuf),
}

/// The validated options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Options {
    pub(super) target: Option<SessionTarget>,
    pub(super) connect_timeout: Option<Duration>,
    ssl_mode: Option<&'static str>,
    roots: Option<Roots>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    application_name: Option<String>,
}

impl Options {
    /// Parses the part of a URL after `?`. Also returns the hosts of the options `host` and `port`, if there are any.
    ///
    /// # Errors
    /// The fault. It contains no part of the URL.
    pub(super) fn parse(query: &str) -> Result<(Self, Option<Vec<String>>), &'static str> {
        let mut options = Self::default();
        let (mut hosts, mut ports) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| "has an option that is not UTF-8")?;
            match key {
                "sslmode" => options.ssl_mode = Some(parse_ssl_mode(&value)?),
                "sslrootcert" if value == "system" => options.roots = Some(Roots::Public),
                "sslrootcert" => options.roots = Some(Roots::File(parse_absolute_path(&value)?)),
                "sslcert" => options.certificate = Some(parse_absolute_path(&value)?),
                "sslkey" => options.key = Some(parse_absolute_path(&value)?),
                "target_session_attrs" => options.target = Some(parse_target(&value)?),
                "connect_timeout" => options.connect_timeout = Some(parse_connect_timeout(&value)?),
                "application_name" => options.application_name = Some(value.into_owned()),
                "host" => hosts = Some(value.into_owned()),
                "port" => ports = Some(value.into_owned()),
                other => {
                    let refused = REFUSED_OPTIONS.iter().find(|(name, _)| *name == other);
                    return Err(refused.map_or(UNKNOWN_OPTION_FAULT, |(_, detail)| detail));
                }
            }
        }
        options.validate_combinations()?;
        Ok((options, combine_hosts_and_ports(hosts.as_deref(), ports.as_deref())?))
    }

    /// Validates options that depend on each other. `sslrootcert=system` sets `sslmode` to `verify-full` if it is not set; a file in
    /// `sslrootcert` changes `require` to `verify-ca`.
    fn validate_combinations(&mut self) -> Result<(), &'static str> {
        if self.certificate.is_some() != self.key.is_some() {
            return Err("has one of sslcert and sslkey: write both, or neither");
        }
        match (&self.roots, self.ssl_mode) {
            (Some(Roots::Public), None) => self.ssl_mode = Some("verify-full"),
            (Some(Roots::Public), Some(mode)) if mode != "verify-full" => {
                return Err("has sslrootcert=system without sslmode=verify-full: write both");
            }
            // As in libpq: with a file of root certificates, the certificate is verified.
            (Some(Roots::File(_)), Some("require")) => self.ssl_mode = Some("verify-ca"),
            (Some(Roots::File(_)), None | Some("disable" | "prefer")) => {
                return Err("has sslrootcert without a check of certificates: write sslmode=verify-full");
            }
            _ => {}
        }
        if self.certificate.is_some() && self.ssl_mode == Some("disable") {
            return Err("has sslcert with sslmode=disable: write sslmode=verify-full");
        }
        Ok(())
    }

    /// The files, each with the name of its option.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let roots = if let Some(Roots::File(file)) = &self.roots { Some(file) } else { None };
        let named = [("sslrootcert", roots), ("sslcert", self.certificate.as_ref()), ("sslkey", self.key.as_ref())];
        named.into_iter().filter_map(|(name, file)| Some((name, file?.as_path())))
    }

    /// Adds these options to the connect options of a host.
    pub(super) fn apply(&self, mut host: PgConnectOptions) -> PgConnectOptions {
        if let Some(mode) = self.ssl_mode.and_then(|mode| mode.parse::<PgSslMode>().ok()) {
            host = host.ssl_mode(mode);
        }
        if let Some(Roots::File(file)) = &self.roots {
            host = host.ssl_root_cert(file);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            host = host.ssl_client_cert(certificate).ssl_client_key(key);
        }
        if let Some(name) = &self.application_name {
            host = host.application_name(name);
        }
        host
    }
}

/// Parses `sslmode`. `allow` is refused, because sqlx treats it as `disable`.
fn parse_ssl_mode(value: &str) -> Result<&'static str, &'static str> {
    const MODES: [&str; 5] = ["verify-full", "verify-ca", "require", "prefer", "disable"];
    MODES.into_iter().find(|mode| *mode == value).ok_or(
        "has another sslmode than verify-full, verify-ca, require, prefer and disable: write sslmode=verify-full",
    )
}

fn parse_target(value: &str) -> Result<SessionTarget, &'static str> {
    match value {
        "any" => Ok(SessionTarget::Any),
        "read-write" => Ok(SessionTarget::ReadWrite),
        "primary" => Ok(SessionTarget::Primary),
        "read-only" | "standby" | "prefer-standby" => {
            Err("has a target_session_attrs that selects a standby, which cannot be written: write read-write")
        }
        _ => Err("has another target_session_attrs than read-write, primary and any: write read-write"),
    }
}

fn parse_connect_timeout(value: &str) -> Result<Duration, &'static str> {
    let seconds = value.parse().ok().filter(|seconds| CONNECT_TIMEOUT.contains(seconds));
    seconds.map(Duration::from_secs).ok_or("has a connect_timeout that is not a number of seconds from 1 to 60")
}

fn parse_absolute_path(value: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(value);
    if path.is_absolute() { Ok(path.to_owned()) } else { Err("has a file that is not an absolute path") }
}

/// Combines the options `host` and `port`, as in libpq: one port for all hosts, or one for each. `None` without them.
fn combine_hosts_and_ports(hosts: Option<&str>, ports: Option<&str>) -> Result<Option<Vec<String>>, &'static str> {
    let Some(hosts) = hosts else {
        return if ports.is_none() {
            Ok(None)
        } else {
            Err("has the option port without host: write host:port before the database")
        };
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    let ports: Vec<&str> = ports.map_or_else(Vec::new, |ports| ports.split(',').collect());
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err("has a different number of ports than of hosts");
    }
    let port = |index: usize| ports.get(index).or(ports.first()).filter(|port| !port.is_empty());
    let named = hosts.iter().enumerate().map(|(index, host)| match port(index) {
        // An IPv6 address needs brackets. The folder of a socket may contain colons too.
        Some(port) if host.contains(':') && !host.starts_with(['[', '/']) => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => (*host).to_owned(),
    });
    Ok(Some(named.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_options_have_a_message_with_what_to_write_instead() {
        for (query, expected) in [
            ("target_session_attrs=standby", "write read-write"),
            ("target_session_attrs=hunter2", "write read-write"),
            ("connect_timeout=0", "from 1 to 60"),
            ("connect_timeout=61", "from 1 to 60"),
            ("connect_timeout=hunter2", "from 1 to 60"),
            ("sslmode=allow", "write sslmode=verify-full"),
            ("sslcert=/c", "write both"),
            ("sslkey=/k", "write both"),
            ("sslrootcert=ca.pem&sslmode=verify-full", "absolute path"),
            ("sslrootcert=/ca.pem", "write sslmode=verify-full"),
            ("sslrootcert=/ca.pem&sslmode=prefer", "write sslmode=verify-full"),
            ("sslrootcert=system&sslmode=require", "write both"),
            ("sslcert=/c&sslkey=/k&sslmode=disable", "write sslmode=verify-full"),
            ("password=hunter2", "database.passwordFile"),
            ("passfile=/f", "database.passwordFile"),
            ("load_balance_hosts=random", "in order"),
            ("options=-cfsync%3Doff", "ALTER ROLE"),
            ("pgbouncer=true", "recognised"),
            ("port=5432", "host:port"),
            ("host=a,b&port=1,2,3", "different number"),
            ("hunter2", "%3F"),
        ] {
            let fault = Options::parse(query).expect_err(query);
            assert!(fault.contains(expected) && !fault.contains("hunter2"), "{query}: {fault}");
        }
        for query in [
            "",
            "target_session_attrs=read-write&connect_timeout=1",
            "sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&sslcert=/c&sslkey=/k",
            "sslrootcert=system",
            "connect_timeout=60&application_name=a%20b",
        ] {
            assert!(Options::parse(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn sslrootcert_implies_verification_as_in_libpq() {
        let mode = |query| Options::parse(query).expect(query).0.ssl_mode;
        assert_eq!(mode("sslmode=require"), Some("require"));
        assert_eq!(mode("sslmode=require&sslrootcert=/ca.pem"), Some("verify-ca"));
        assert_eq!(mode("sslrootcert=system"), Some("verify-full"));
    }
}
