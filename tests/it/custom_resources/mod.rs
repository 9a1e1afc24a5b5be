//! Policies as custom resources, against a real API server and with a real `kubectl`.

pub mod cluster;
mod definitions;
mod invalid_deny;
mod many;
mod status;
mod status_writer;
mod tenants;
mod walk;
mod watching;
