//! `claviger policy list`: prints all policies of a server.

use super::output::{Format, print_json, print_manifests, print_table};
use crate::cli::command_error::CommandError;
use crate::cli::connection::Connection;
use crate::cli::server_arguments::ServerArguments;
use crate::wire::policy_object::{PolicyList, PolicyObject};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Maximum number of pages, more than any server has.
const MAX_PAGES: usize = 10_000;

/// The options of `claviger policy list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// json: answer of the API; yaml: manifests for `apply` (default: a table).
    #[arg(short, long)]
    output: Option<Format>,
}

pub async fn run(list: &ListArguments, server: &Connection) -> Result<(), CommandError> {
    let policies = fetch_policies(server).await?;
    match list.output {
        Some(Format::Json) => print_json(&PolicyList { items: policies, continue_token: None }),
        Some(Format::Yaml) => print_manifests(policies),
        None => {
            let format_row = |policy: PolicyObject| {
                let effect = policy.spec.effect.unwrap_or_else(|| "allow".into());
                let mode = policy.spec.mode.unwrap_or_else(|| "enforce".into());
                [policy.name, effect, mode, policy.source, policy.updated_at, policy.updated_by]
            };
            let rows: Vec<_> = policies.into_iter().map(format_row).collect();
            print_table(["NAME", "EFFECT", "MODE", "SOURCE", "UPDATED", "BY"], &rows)
        }
    }
}

/// Fetches all pages.
pub async fn fetch_policies(server: &Connection) -> Result<Vec<PolicyObject>, CommandError> {
    let mut policies = Vec::new();
    let mut path = "/v1/policies?limit=100".to_owned();
    for _ in 0..MAX_PAGES {
        let page: PolicyList = server.get(&path).await?.json()?;
        let is_empty = page.items.is_empty();
        policies.extend(page.items);
        let Some(next) = page.continue_token else { return Ok(policies) };
        if is_empty {
            break;
        }
        path = format!("/v1/policies?limit=100&continue={}", utf8_percent_encode(&next, NON_ALPHANUMERIC));
    }
    Err(CommandError::Other("the server's list does not end".into()))
}
