//! The options that name a server and its token. The token is never on the command line, and is never printed.

use super::bearer;
use super::command_error::CommandError;
use super::http_client::{client, is_loopback};
use super::retry_budget::RetryBudget;
use super::token::TokenArguments;
use super::workflow::RunnerStream;
use http::header::HeaderValue;
use reqwest::{Client, Url};
use std::path::PathBuf;

/// The options that name a server and its token.
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
    /// For a command that declares these options itself, because it does not always need a server.
    pub const fn new(server: String, token_file: PathBuf, ca_file: Option<PathBuf>, insecure: bool) -> Self {
        Self { server, insecure, token: TokenArguments::for_token_file(token_file), ca_file }
    }

    /// Parses the URL of the server. Fails if tokens would be sent unencrypted without `--insecure`.
    pub fn origin(&self) -> Result<Url, CommandError> {
        let url = parse_origin(&self.server).ok_or_else(|| {
            CommandError::usage("--server: must be http://HOST[:PORT] or https://HOST[:PORT], without a path")
        })?;
        if self.may_send_to(&url) {
            return Ok(url);
        }
        Err(CommandError::usage(
            "--server: http would send the token unencrypted; use https, or allow it with --insecure",
        ))
    }

    /// Whether tokens and secrets may be sent to or from this URL: with TLS, on this machine, or with `--insecure`.
    pub fn may_send_to(&self, url: &Url) -> bool {
        self.insecure || url.scheme() == "https" || is_loopback(url)
    }

    /// Reads or requests the token. Returns the value of the `Authorization` header.
    pub async fn bearer(
        &self,
        runner: RunnerStream,
        retry_budget: &mut RetryBudget,
    ) -> Result<HeaderValue, CommandError> {
        let token = self.token.read_token(runner, retry_budget).await?;
        bearer::authorization_header(&token).ok_or_else(|| CommandError::usage("the bearer token cannot be sent"))
    }

    /// A client for URLs of this scheme.
    pub fn client(&self, scheme: &str) -> Result<Client, CommandError> {
        client(scheme, self.ca_file.as_deref())
    }
}

/// Parses an origin. `None` for a URL with further parts (a path, a query, a user): these would be sent or silently ignored.
fn parse_origin(text: &str) -> Option<Url> {
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
    fn only_an_origin_is_accepted_as_server() {
        for good in ["http://127.0.0.1:8080", "https://claviger.claviger.svc:8443/", "http://[::1]:1"] {
            assert!(parse_origin(good).is_some(), "{good}");
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
            assert!(parse_origin(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn plain_http_needs_loopback_or_insecure() {
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
