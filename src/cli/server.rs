//! The server options of commands. The token never comes from the command line, and is never printed.

use super::bearer;
use super::failure::Failure;
use super::http_client::{client, is_loopback};
use super::retry_budget::RetryBudget;
use super::token::TokenArguments;
use super::workflow::Commands;
use http::header::HeaderValue;
use reqwest::{Client, Url};
use std::path::PathBuf;

/// How to reach a server.
#[derive(Debug, clap::Args)]
pub struct ServerArguments {
    /// Server URL, for example `https://claviger.claviger.svc:8443`.
    #[arg(long, env = "CLAVIGER_URL", value_name = "URL")]
    server: String,
    /// Allow `http` to another host; token and secrets are sent unencrypted.
    #[arg(long, env = "CLAVIGER_INSECURE")]
    insecure: bool,
    #[command(flatten)]
    pub token: TokenArguments,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl ServerArguments {
    /// Options for commands that do not require a server.
    pub const fn new(server: String, token_file: PathBuf, ca_file: Option<PathBuf>, insecure: bool) -> Self {
        Self { server, insecure, token: TokenArguments::file(token_file), ca_file }
    }

    /// The server's URL.
    pub fn origin(&self) -> Result<Url, Failure> {
        let url = origin(&self.server).ok_or_else(|| {
            Failure::usage("--server: must be http://HOST[:PORT] or https://HOST[:PORT], and no more than that")
        })?;
        if self.may_send_to(&url) {
            return Ok(url);
        }
        Err(Failure::usage("--server: http would send the token in clear; use https, or allow it with --insecure"))
    }

    /// Whether tokens and secrets may be sent to or from this URL: with TLS, on this machine, or if allowed explicitly.
    pub fn may_send_to(&self, url: &Url) -> bool {
        self.insecure || url.scheme() == "https" || is_loopback(url)
    }

    /// The `Authorization` header. The token is read or requested now.
    pub async fn bearer(&self, commands: Commands, retry_budget: &mut RetryBudget) -> Result<HeaderValue, Failure> {
        let token = self.token.token(commands, retry_budget).await?;
        bearer::header(&token).ok_or_else(|| Failure::usage("the bearer token cannot be sent"))
    }

    /// A client for URLs of this scheme.
    pub fn client(&self, scheme: &str) -> Result<Client, Failure> {
        client(scheme, self.ca_file.as_deref())
    }
}

/// Parses an origin. A URL with other parts is refused, because they would be sent or silently ignored.
fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_origin = url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    Some(url).filter(|url| is_origin && matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_origin() {
        for good in ["http://127.0.0.1:8080", "https://claviger.claviger.svc:8443/", "http://[::1]:1"] {
            assert!(origin(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "claviger",
            "127.0.0.1:8080",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u:p@a",
            "https://u@a",
            "file:///",
        ] {
            assert!(origin(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_reached_in_clear_unless_it_is_allowed() {
        let arguments = |server: &str, insecure| ServerArguments::new(server.into(), "token".into(), None, insecure);
        for good in [
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:8080",
            "http://localhost:8080",
            "http://LOCALHOST",
            "https://claviger.claviger.svc:8443",
            "https://192.0.2.1",
        ] {
            assert!(arguments(good, false).origin().is_ok(), "{good}");
        }
        for bad in [
            "http://claviger.claviger.svc:8080",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://[::ffff:10.0.0.1]",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://128.0.0.1",
        ] {
            assert!(arguments(bad, false).origin().is_err(), "{bad}");
            assert!(arguments(bad, true).origin().is_ok(), "{bad}");
        }
    }
}
