//! `claviger policy`: manages policies with the admin API, and tests policy files without a server.

mod apply;
mod delete;
mod diff;
mod explain;
mod get;
mod list;
mod manifests;
pub mod output;
mod recorded_request;
mod replay_report;
mod test;
mod test_case;
mod test_file;

use super::command_error::CommandError;
use super::connection::{Connection, with_connection};
use super::server_arguments::ServerArguments;
use clap::Subcommand;
use std::process::ExitCode;

/// The policy commands.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List the policies of a server.
    List(list::ListArguments),
    /// Print one policy.
    Get(get::GetArguments),
    /// Create or replace the policies in files; unchanged policies are not written.
    Apply(apply::ApplyArguments),
    /// Delete a policy.
    Delete(delete::DeleteArguments),
    /// Explain why a caller is allowed or denied.
    Explain(explain::ExplainArguments),
    /// Replay audited requests against changed policies, and print which callers gain or lose which secrets. Exit code 0: no
    /// difference, 1: differences, 2: failed or unknown.
    Diff(diff::DiffArguments),
    /// Run `*.test.yaml` cases against policy files, without a server.
    Test(test::TestArguments),
}

pub fn run(policy: &PolicyCommand) -> ExitCode {
    let result = match policy {
        PolicyCommand::List(list) => with_connection(&list.server, async |server| list::run(list, &server).await),
        PolicyCommand::Get(get) => with_connection(&get.server, async |server| get::run(get, &server).await),
        PolicyCommand::Apply(apply) => with_connection(&apply.server, async |server| apply::run(apply, &server).await),
        PolicyCommand::Delete(delete) => {
            with_connection(&delete.server, async |server| delete::run(delete, &server).await)
        }
        PolicyCommand::Explain(explain) => {
            with_connection(&explain.server, async |server| explain::run(explain, &server).await)
        }
        PolicyCommand::Test(test) => test::run(test),
        PolicyCommand::Diff(diff) => return diff::run(diff),
    };
    result.map_or_else(|error| error.report(), |()| ExitCode::SUCCESS)
}

/// Fetches all policies of a server.
pub async fn fetch_all(
    server: &ServerArguments,
) -> Result<Vec<crate::wire::policy_object::PolicyObject>, CommandError> {
    list::fetch_policies(&Connection::open(server).await?).await
}
