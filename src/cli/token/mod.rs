//! Reads or requests the bearer token of a command: from a file, GitHub Actions or GitLab CI.

mod github;

use super::bearer::{MAX_TOKEN_BYTES, parse_token};
use super::command_error::CommandError;
use super::input_file;
use super::retry_budget::RetryBudget;
use super::workflow::{RunnerStream, ci_variable};
use crate::model::secret::SecretValue;
use std::path::{Path, PathBuf};

/// The options that name the source of the bearer token.
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
    token_from: TokenSource,
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
enum TokenSource {
    File,
    GithubActions,
    Gitlab,
}

impl TokenArguments {
    /// The options for a token in this file.
    pub const fn for_token_file(file: PathBuf) -> Self {
        Self {
            token_from: TokenSource::File,
            token_file: Some(file),
            audience: String::new(),
            token_variable: String::new(),
        }
    }

    /// Whether the token comes from GitHub Actions.
    pub fn is_github_actions(&self) -> bool {
        self.token_from == TokenSource::GithubActions
    }

    /// The variables that have the token, or with which it can be requested.
    pub fn variables(&self) -> Vec<&str> {
        match self.token_from {
            TokenSource::File => Vec::new(),
            TokenSource::GithubActions => github::REQUEST_VARIABLES.to_vec(),
            TokenSource::Gitlab => vec![&self.token_variable],
        }
    }

    /// Reads or requests the token. A token of GitHub is masked in the job's log before it is returned.
    pub async fn read_token(
        &self,
        runner: RunnerStream,
        retry_budget: &mut RetryBudget,
    ) -> Result<SecretValue, CommandError> {
        match self.token_from {
            TokenSource::File => {
                let file = self.token_file.as_deref().ok_or_else(|| {
                    CommandError::usage(
                        "--token-file: is required (or CLAVIGER_TOKEN_FILE) unless --token-from names a CI service",
                    )
                })?;
                read_token_file(file, "--token-file")
            }
            TokenSource::GithubActions => {
                let token = github::id_token(&self.audience, retry_budget).await?;
                runner.mask_token(&token)?;
                Ok(token)
            }
            TokenSource::Gitlab => read_token_variable(&self.token_variable),
        }
    }
}

/// Reads the token in a file.
pub fn read_token_file(file: &Path, option: &str) -> Result<SecretValue, CommandError> {
    let usage_error = |reason: &str| CommandError::usage(format!("{option}: {}: {reason}", file.display()));
    let text = input_file::read_text_bounded(file, MAX_TOKEN_BYTES).map_err(|reason| usage_error(&reason))?;
    parse_token(&text).ok_or_else(|| usage_error("contains no bearer token"))
}

fn read_token_variable(name: &str) -> Result<SecretValue, CommandError> {
    let usage_error = |reason: &str| CommandError::usage(format!("--token-from gitlab: {name} {reason}"));
    let text = ci_variable(name).ok_or_else(|| {
        usage_error(&format!(
            "is not set; the job needs `id_tokens: {{{name}: {{aud: claviger}}}}`, or set --token-variable to the variable with the id token"
        ))
    })?;
    text.to_str().and_then(parse_token).ok_or_else(|| usage_error("contains no bearer token"))
}
