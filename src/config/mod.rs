//! The configuration, one file for each section. It does not import the modules that it configures.
//!
//! A section has two types: a raw one for serde, in which every key is optional, and a validated one, which only [`load`] creates.

pub mod administrators;
pub mod attestation;
pub mod audit;
pub mod authenticators;
pub mod aws_secrets_manager;
pub mod azure_key_vault;
pub mod cache;
pub mod ceiling;
pub mod database;
pub mod gcp_secret_manager;
pub mod key_file;
pub mod limits;
pub mod policies;
pub mod postgres_url;
pub mod server;
pub mod stores;
pub mod telemetry;
pub mod tenants;
pub mod tickets;
pub mod value_format;
pub mod vault_api;

mod address;
mod defaults;
mod environment;
mod fault_collector;
mod load;
mod postgres_options;
mod sections;
mod size;
mod warnings;

pub use authenticators::CLUSTER_ISSUER_FAULT;
pub use defaults::{DEFAULT_YAML, SCHEMA_JSON};
pub use load::{MAX_BYTES, from_text, load, load_embedded};
pub use sections::Config;

#[cfg(test)]
mod tests;
