//! `claviger policy delete`.

use super::get::{path, policy_name};
use super::output::print_line;
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::server::ServerArguments;
use http::Method;
use zeroize::Zeroizing;

/// The options of `claviger policy delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    pub server: ServerArguments,
    /// Name of the policy.
    #[arg(value_parser = policy_name)]
    name: String,
}

/// Deletes the policy.
pub async fn run(delete: &Delete, server: &Connection) -> Result<(), Failure> {
    server.send(&Method::DELETE, &path(&delete.name), None, Zeroizing::default()).await?;
    print_line(&format!("{}: deleted", delete.name))
}
