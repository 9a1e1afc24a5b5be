//! `claviger inventory`: lists policies and secrets with their last use.

use super::audit::{parse_time, query_parameter};
use super::command_error::CommandError;
use super::connection::{Connection, with_connection};
use super::policy::output::{JsonFormat, print_json, print_line, print_table};
use super::server_arguments::ServerArguments;
use crate::wire::inventory::{Inventory, InventoryItem};

/// Maximum number of pages, more than any server has.
const MAX_PAGES: usize = 10_000;

/// The arguments of `claviger inventory`.
#[derive(Debug, clap::Args)]
pub struct InventoryArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Start of the period: RFC 3339, or an age such as `30d`.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Print only what was not used in this period.
    #[arg(long)]
    unused: bool,
    /// json: answer of the API, all pages as one (default: a table).
    #[arg(short, long)]
    output: Option<JsonFormat>,
}

/// Prints the inventory, unused items first.
pub fn run(arguments: &InventoryArguments) -> Result<(), CommandError> {
    with_connection(&arguments.server, async |server| print_inventory(arguments, &server).await)
}

async fn print_inventory(arguments: &InventoryArguments, server: &Connection) -> Result<(), CommandError> {
    let mut inventory = fetch_inventory(arguments, server).await?;
    if arguments.unused {
        inventory.items.retain(|item| item.unused);
    }
    if arguments.output.is_some() {
        return print_json(&inventory);
    }
    let rows: Vec<_> = inventory.items.iter().map(format_row).collect();
    print_table(["POLICY", "SECRET", "MATCHED", "READ", "CALLERS", "REPOS", ""], &rows)?;
    let unused = inventory.items.iter().filter(|item| item.unused).count();
    print_line(&format!("{unused} of {} not used since {}", inventory.items.len(), inventory.since))?;
    if !inventory.complete {
        eprintln!("warning: the server is still counting older events; uses may be missing");
    }
    Ok(())
}

/// Fetches all pages, and combines them.
async fn fetch_inventory(arguments: &InventoryArguments, server: &Connection) -> Result<Inventory, CommandError> {
    let first =
        format!("/v1/inventory?limit=1000&{}", query_parameter("since", &parse_time("--since", &arguments.since)?));
    let mut inventory: Inventory = server.get(&first).await?.json()?;
    for _ in 0..MAX_PAGES {
        let Some(next) = inventory.continue_token.take() else { return Ok(inventory) };
        let page: Inventory = server.get(&(first.clone() + &query_parameter("continue", &next))).await?.json()?;
        if page.items.is_empty() {
            return Ok(inventory);
        }
        inventory.items.extend(page.items);
        inventory.complete &= page.complete;
        inventory.continue_token = page.continue_token;
    }
    Err(CommandError::Other("the server's list does not end".into()))
}

fn format_row(item: &InventoryItem) -> [String; 7] {
    let secret = match (&item.store, &item.path) {
        (Some(store), Some(path)) => format!("{store}:{path}"),
        _ => "-".to_owned(),
    };
    // Fractions of a second are omitted.
    let format_time = |time: &Option<String>| match time {
        Some(time) => time.split_once('.').map_or_else(|| time.clone(), |(whole, _)| format!("{whole}Z")),
        None => "never".to_owned(),
    };
    let shown: Vec<&str> = item.repos.iter().take(3).map(String::as_str).collect();
    let more = if item.repos_total > 3 { format!(" (of {})", item.repos_total) } else { String::new() };
    let repos = if shown.is_empty() { "-".to_owned() } else { shown.join(",") + &more };
    let mut notes = Vec::new();
    if item.unused {
        notes.push("unused");
    }
    if item.mode == "audit" {
        notes.push("audit");
    }
    [
        item.policy.clone(),
        secret,
        format_time(&item.last_matched),
        format_time(&item.last_read),
        item.callers.to_string(),
        repos,
        notes.join(","),
    ]
}
