//! Policies as custom resources, against a real API server and with a real `kubectl`.

mod broken;
pub mod cluster;
mod definitions;
mod many;
mod status;
mod tenants;
mod walk;
mod watching;
mod writers;
