//! `claviger policy get`.

use super::output::{Format, print_json, print_manifests};
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::server::ServerArguments;
use crate::policy::is_policy_or_resource_name;
use crate::wire::policy_object::PolicyObject;

/// The options of `claviger policy get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    pub server: ServerArguments,
    /// Name of the policy.
    #[arg(value_parser = policy_name)]
    name: String,
    /// json: answer of the API; yaml: a manifest for `apply`.
    #[arg(short, long, default_value = "yaml")]
    output: Format,
}

/// Prints the policy.
pub async fn run(get: &Get, server: &Connection) -> Result<(), Failure> {
    let policy: PolicyObject = server.get(&path(&get.name)).await?.json()?;
    match get.output {
        Format::Json => print_json(&policy),
        Format::Yaml => print_manifests([policy]),
    }
}

/// The path of a policy. Only the slash of `namespace/name` needs escaping.
pub fn path(name: &str) -> String {
    format!("/v1/policies/{}", name.replace('/', "%2F"))
}

/// Parses a policy's name.
pub fn policy_name(text: &str) -> Result<String, &'static str> {
    if is_policy_or_resource_name(text) {
        Ok(text.to_owned())
    } else {
        Err("not the name of a policy (an RFC 1123 subdomain, or namespace/name)")
    }
}
