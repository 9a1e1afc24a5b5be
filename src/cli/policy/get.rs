//! `claviger policy get`: prints a policy.

use super::output::{Format, print_json, print_manifests};
use crate::cli::command_error::CommandError;
use crate::cli::connection::Connection;
use crate::cli::server_arguments::ServerArguments;
use crate::policy::is_policy_or_resource_name;
use crate::wire::policy_object::PolicyObject;

/// The options of `claviger policy get`.
#[derive(Debug, clap::Args)]
pub struct GetArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// Name of the policy.
    #[arg(value_parser = parse_policy_name)]
    name: String,
    /// json: answer of the API; yaml: a manifest for `apply`.
    #[arg(short, long, default_value = "yaml")]
    output: Format,
}

pub async fn run(get: &GetArguments, server: &Connection) -> Result<(), CommandError> {
    let policy: PolicyObject = server.get(&policy_path(&get.name)).await?.json()?;
    match get.output {
        Format::Json => print_json(&policy),
        Format::Yaml => print_manifests([policy]),
    }
}

/// The URL path of a policy. Only the slash in `namespace/name` must be escaped.
pub fn policy_path(name: &str) -> String {
    format!("/v1/policies/{}", name.replace('/', "%2F"))
}

/// Parses the name of a policy, or `namespace/name`.
pub fn parse_policy_name(text: &str) -> Result<String, &'static str> {
    if is_policy_or_resource_name(text) {
        Ok(text.to_owned())
    } else {
        Err("not the name of a policy (an RFC 1123 subdomain, or namespace/name)")
    }
}
