//! `claviger policy`: the admin API from a shell, and tests of policy files without a server.

mod apply;
mod case;
mod delete;
mod diff;
mod explain;
mod get;
mod list;
mod manifests;
pub mod output;
mod recorded;
mod replay_report;
mod suite;
mod test;

use super::connection::{Connection, on};
use super::failure::Failure;
use super::server::ServerArguments;
use clap::Subcommand;
use std::process::ExitCode;

/// The policy commands.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// List the policies of a server.
    List(list::List),
    /// Print one policy.
    Get(get::Get),
    /// Create or replace the policies in files; unchanged policies are not written.
    Apply(apply::Apply),
    /// Delete a policy.
    Delete(delete::Delete),
    /// Explain why a caller is allowed or denied.
    Explain(explain::Explain),
    /// Replay audited requests against changed policies: who would gain or lose what. Exit code 0: nobody, 1: somebody, 2: failed.
    Diff(diff::Diff),
    /// Run `*.test.yaml` cases against policy files, without a server.
    Test(test::Test),
}

pub fn run(policy: &Policy) -> ExitCode {
    if let Policy::Diff(diff) = policy {
        return diff::run(diff);
    }
    let done = match policy {
        Policy::List(list) => on(&list.server, async |server| list::run(list, &server).await),
        Policy::Get(get) => on(&get.server, async |server| get::run(get, &server).await),
        Policy::Apply(apply) => on(&apply.server, async |server| apply::run(apply, &server).await),
        Policy::Delete(delete) => on(&delete.server, async |server| delete::run(delete, &server).await),
        Policy::Explain(explain) => on(&explain.server, async |server| explain::run(explain, &server).await),
        Policy::Test(test) => test::run(test),
        Policy::Diff(_) => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print_and_code(),
    }
}

/// Every policy of a server.
pub async fn all_of(server: &ServerArguments) -> Result<Vec<crate::wire::policy_object::PolicyObject>, Failure> {
    list::policies(&Connection::open(server).await?).await
}
