//! `claviger policy delete`: deletes a policy.

use super::get::{parse_policy_name, policy_path};
use super::output::print_line;
use crate::cli::command_error::CommandError;
use crate::cli::connection::Connection;
use crate::cli::server_arguments::ServerArguments;
use http::Method;
use zeroize::Zeroizing;

/// The options of `claviger policy delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// Name of the policy.
    #[arg(value_parser = parse_policy_name)]
    name: String,
}

pub async fn run(delete: &DeleteArguments, server: &Connection) -> Result<(), CommandError> {
    server.send(&Method::DELETE, &policy_path(&delete.name), None, Zeroizing::default()).await?;
    print_line(&format!("{}: deleted", delete.name))
}
