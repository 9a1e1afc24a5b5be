//! The integration tests: one binary, real components, typed actors.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking, and its name is its documentation")]

mod admin;
mod attest;
mod audit;
mod audit_cli;
mod authn;
mod build;
mod chart;
mod ci;
mod config_cli;
mod config_schema;
#[cfg(feature = "csi")]
mod csi;
mod custom_resources;
mod database;
mod dev;
mod doctor;
mod eso;
mod exec;
mod failover;
mod fairness;
mod fetch;
mod http;
mod lifecycle;
mod main_job;
mod memory;
mod observability;
mod policies;
mod policy_cli;
mod render;
mod rig;
mod scan;
mod stores;
mod tekton;
mod tickets;
mod vault_api;
mod vault_policy;
