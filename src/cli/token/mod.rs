//! The bearer token of a command: from a file, from GitHub Actions, or from a variable of GitLab CI.

mod github;

use super::bearer::{MAX_TOKEN_BYTES, parse};
use super::failure::Failure;
use super::input;
use super::retry_budget::RetryBudget;
use super::workflow::{Commands, variable};
use crate::model::secret::SecretValue;
use std::path::{Path, PathBuf};

/// Where the bearer token comes from.
#[derive(Debug, clap::Args)]
pub struct TokenArguments {
    /// Source of the bearer token: `file` (--token-file), `github-actions` (an id token for --audience, requested by the job; it needs
    /// `permissions: id-token: write`) or `gitlab` (the id token in the variable --token-variable, which `id_tokens` sets).
    #[arg(
        long,
        env = "CLAVIGER_TOKEN_FROM",
        value_name = "SOURCE",
        default_value = "file",
        hide_possible_values = true
    )]
    token_from: TokenFrom,
    /// File with the bearer token.
    #[arg(long, env = "CLAVIGER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Audience of the id token of GitHub Actions.
    #[arg(long, env = "CLAVIGER_AUDIENCE", value_name = "TEXT", default_value = "claviger")]
    audience: String,
    /// Variable with the id token of GitLab.
    #[arg(long, value_name = "NAME", default_value = "CLAVIGER_ID_TOKEN")]
    token_variable: String,
}

/// A source of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TokenFrom {
    File,
    GithubActions,
    Gitlab,
}

impl TokenArguments {
    /// A token in this file.
    pub const fn file(file: PathBuf) -> Self {
        Self {
            token_from: TokenFrom::File,
            token_file: Some(file),
            audience: String::new(),
            token_variable: String::new(),
        }
    }

    /// Whether the command runs in a job of GitHub Actions.
    pub fn is_github_actions(&self) -> bool {
        self.token_from == TokenFrom::GithubActions
    }

    /// The variables that hold the token, or what requests one.
    pub fn variables(&self) -> Vec<&str> {
        match self.token_from {
            TokenFrom::File => Vec::new(),
            TokenFrom::GithubActions => github::REQUEST_VARIABLES.to_vec(),
            TokenFrom::Gitlab => vec![&self.token_variable],
        }
    }

    /// Reads or requests the token. One from GitHub is masked in the job's log before it is returned.
    pub async fn token(&self, commands: Commands, retry_budget: &mut RetryBudget) -> Result<SecretValue, Failure> {
        match self.token_from {
            TokenFrom::File => {
                let file = self.token_file.as_deref().ok_or_else(|| {
                    Failure::usage(
                        "--token-file: is required (or CLAVIGER_TOKEN_FILE) unless --token-from names a CI service",
                    )
                })?;
                in_file(file, "--token-file")
            }
            TokenFrom::GithubActions => {
                let token = github::id_token(&self.audience, retry_budget).await?;
                commands.mask_token(&token)?;
                Ok(token)
            }
            TokenFrom::Gitlab => in_variable(&self.token_variable),
        }
    }
}

/// The token in a file, as a header value.
pub fn in_file(file: &Path, option: &str) -> Result<SecretValue, Failure> {
    let wrong = |reason: &str| Failure::usage(format!("{option}: {}: {reason}", file.display()));
    let text = input::text_of_at_most(file, MAX_TOKEN_BYTES).map_err(|reason| wrong(&reason))?;
    parse(&text).ok_or_else(|| wrong("contains no bearer token"))
}

fn in_variable(name: &str) -> Result<SecretValue, Failure> {
    let wrong = |reason: &str| Failure::usage(format!("--token-from gitlab: {name} {reason}"));
    let text = variable(name).ok_or_else(|| {
        wrong(&format!(
            "is not set; the job needs `id_tokens: {{{name}: {{aud: claviger}}}}`, or --token-variable names another"
        ))
    })?;
    text.to_str().and_then(parse).ok_or_else(|| wrong("contains no bearer token"))
}
