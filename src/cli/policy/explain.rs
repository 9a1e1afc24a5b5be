//! `claviger policy explain`: why a caller is allowed or denied.

use super::output::{print_json, print_line};
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::server::ServerArguments;
use crate::cli::token;
use crate::document::{misread_in, parse, prune};
use crate::model::secret::SecretValue;
use crate::wire::decision::{DecisionExplained, DescribedCaller};
use http::Method;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The options of `claviger policy explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
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
    /// Output format.
    #[arg(short, long)]
    output: Option<Output>,
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

/// Output format.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Answer of the API.
    Json,
}

/// The request body. It may carry a token: no `Debug`.
#[derive(Serialize)]
struct Question<'a> {
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
pub async fn run(explain: &Explain, server: &Connection) -> Result<(), Failure> {
    let body = question(explain)?;
    let explained: DecisionExplained = server.send(&Method::POST, "/v1/decisions", None, body).await?.json()?;
    match explain.output {
        Some(Output::Json) => print_json(&explained),
        None => print(&explained),
    }
}

#[expect(clippy::disallowed_methods, reason = "the server is asked about the token itself")]
fn question(explain: &Explain) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let CallerArguments { caller_file, caller_token_file } = &explain.caller;
    let caller = caller_file.as_deref().map(described).transpose()?;
    let token = caller_token_file.as_deref().map(|file| token::in_file(file, "--caller-token-file")).transpose()?;
    let question = Question {
        caller,
        token: token.as_ref().map(SecretValue::expose_secret),
        repo: explain.repo.as_deref(),
        branch: explain.branch.as_deref(),
    };
    serde_json::to_vec(&question).map(Zeroizing::new).map_err(|_| Failure::Failed("the question cannot be JSON".into()))
}

fn described(file: &Path) -> Result<Value, Failure> {
    let shown = file.display().to_string();
    let text = input::text(file).map_err(Failure::usage)?;
    let ill_formed = |fault| Failure::faults(&shown, &[fault]);
    let tree = parse(&text).map_err(ill_formed)?;
    let (_, mut faults) = prune::<DescribedCaller>(&mut tree.clone());
    faults.extend(misread_in(&text, is_free_of_caller).map_err(ill_formed)?);
    if faults.is_empty() { Ok(tree) } else { Err(Failure::faults(&shown, &faults)) }
}

/// Whether a value of a described caller may have any type: it is compared with a claim of a token or a result of a run.
pub fn is_free_of_caller(at: &[&str]) -> bool {
    matches!(at, ["claims", _, ..] | ["pipelineRun" | "taskRun", "params", _, ..])
}

fn print(explained: &DecisionExplained) -> Result<(), Failure> {
    print_line(&format!("{}: {}", if explained.allowed { "allowed" } else { "denied" }, explained.reason))?;
    for secret in &explained.secrets {
        let name = secret.store_name.as_ref().map_or_else(String::new, |name| format!(", named {name}"));
        print_line(&format!("  reads {}:{}{name} (keys {})", secret.store, secret.path, secret.keys.join(", ")))?;
    }
    for policy in &explained.policies {
        if policy.mode.is_some() {
            let would = if policy.would_change == Some(true) { "would change" } else { "would not change" };
            let part = policy.failed_at.as_deref().map(|part| format!(" and does not match: {part}"));
            let part = part.unwrap_or_default();
            print_line(&format!("  {} is in shadow mode{part}; it {would} the decision", policy.name))?;
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
