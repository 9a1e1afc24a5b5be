//! `claviger policy explain`: explains why a caller is allowed or denied.

use super::output::{JsonFormat, print_json, print_line};
use crate::cli::command_error::CommandError;
use crate::cli::connection::Connection;
use crate::cli::input_file;
use crate::cli::server_arguments::ServerArguments;
use crate::cli::token;
use crate::document::{check_reinterpreted_scalars, parse, prune};
use crate::model::secret::SecretValue;
use crate::wire::decision::{DecisionExplained, DescribedCaller};
use http::Method;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The options of `claviger policy explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// Repository; optional if policies attest it.
    #[arg(long)]
    repo: Option<String>,
    /// Branch; optional if policies attest it.
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    caller: CallerArguments,
    /// json: answer of the API (default: text).
    #[arg(short, long)]
    output: Option<JsonFormat>,
}

/// The caller whose decision is explained.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct CallerArguments {
    /// File with a described caller as in `POST /v1/decisions` (YAML or JSON).
    #[arg(long, value_name = "FILE")]
    caller_file: Option<PathBuf>,
    /// File with the caller's bearer token.
    #[arg(long, value_name = "FILE")]
    caller_token_file: Option<PathBuf>,
}

/// The request body. It may have a token, so there is no `Debug`.
#[derive(Serialize)]
struct DecisionRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a str>,
}

/// Prints the result of each policy. A denial is not a failure.
pub async fn run(explain: &ExplainArguments, server: &Connection) -> Result<(), CommandError> {
    let body = request_body(explain)?;
    let explained: DecisionExplained = server.send(&Method::POST, "/v1/decisions", None, body).await?.json()?;
    match explain.output {
        Some(JsonFormat::Json) => print_json(&explained),
        None => print_explanation(&explained),
    }
}

#[expect(clippy::disallowed_methods, reason = "the token is sent to the server, which explains it")]
fn request_body(explain: &ExplainArguments) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let CallerArguments { caller_file, caller_token_file } = &explain.caller;
    let caller = caller_file.as_deref().map(read_described_caller).transpose()?;
    let token =
        caller_token_file.as_deref().map(|file| token::read_token_file(file, "--caller-token-file")).transpose()?;
    let request = DecisionRequest {
        caller,
        token: token.as_ref().map(SecretValue::expose_secret),
        repo: explain.repo.as_deref(),
        branch: explain.branch.as_deref(),
    };
    serde_json::to_vec(&request)
        .map(Zeroizing::new)
        .map_err(|_| CommandError::Other("the request cannot be written as JSON".into()))
}

fn read_described_caller(file: &Path) -> Result<Value, CommandError> {
    let file_name = file.display().to_string();
    let text = input_file::read_text(file).map_err(CommandError::usage)?;
    let ill_formed = |fault| CommandError::from_faults(&file_name, &[fault]);
    let tree = parse(&text).map_err(ill_formed)?;
    let (_, mut faults) = prune::<DescribedCaller>(&mut tree.clone());
    faults.extend(check_reinterpreted_scalars(&text, may_have_any_type).map_err(ill_formed)?);
    if faults.is_empty() { Ok(tree) } else { Err(CommandError::from_faults(&file_name, &faults)) }
}

/// Whether the value at this path of a described caller may have any type: claims of tokens and parameters of runs may.
pub fn may_have_any_type(path: &[&str]) -> bool {
    matches!(path, ["claims", _, ..] | ["pipelineRun" | "taskRun", "params", _, ..])
}

fn print_explanation(explained: &DecisionExplained) -> Result<(), CommandError> {
    print_line(&format!("{}: {}", if explained.allowed { "allowed" } else { "denied" }, explained.reason))?;
    for secret in &explained.secrets {
        let name = secret.store_name.as_ref().map_or_else(String::new, |name| format!(", named {name}"));
        print_line(&format!("  reads {}:{}{name} (keys {})", secret.store, secret.path, secret.keys.join(", ")))?;
    }
    for policy in &explained.policies {
        if policy.mode.is_some() {
            let effect = if policy.would_change == Some(true) { "would change" } else { "would not change" };
            let mismatch = policy.failed_at.as_deref().map(|part| format!(" and does not match: {part}"));
            let mismatch = mismatch.unwrap_or_default();
            print_line(&format!("  {} is in shadow mode{mismatch}; it {effect} the decision", policy.name))?;
        } else if policy.matched {
            print_line(&format!("  {} matches", policy.name))?;
        } else {
            let part = policy.failed_at.as_deref().unwrap_or("secrets");
            print_line(&format!(
                "  {} does not match: {part}: {}",
                policy.name,
                policy.detail.as_deref().unwrap_or_default()
            ))?;
        }
    }
    Ok(())
}
