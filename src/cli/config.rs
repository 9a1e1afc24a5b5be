//! `claviger config schema`: prints the JSON Schema of the configuration file, as in `openapi/config.schema.json`.

use crate::config::SCHEMA_JSON;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the JSON Schema (draft 2020-12) of the configuration file, for editors and CI.
    Schema,
}

pub fn run(command: &ConfigCommand) {
    match command {
        ConfigCommand::Schema => print!("{SCHEMA_JSON}"),
    }
}
