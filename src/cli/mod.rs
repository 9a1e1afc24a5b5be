//! THE COMMANDS of the binary.

mod audit;
mod bearer;
mod bundle;
mod check;
mod config_file;
mod connection;
mod crds;
#[cfg(feature = "csi")]
mod csi;
mod dev;
mod dev_issuer;
mod dev_state;
mod doctor;
mod download;
mod exec;
mod failure;
mod faults;
mod fetch;
mod http_client;
mod input;
mod inventory;
mod openapi;
mod policy;
mod printable;
mod restore;
mod retry_budget;
mod scan;
mod serve;
mod server;
mod token;
mod vault_policy;
mod whole_file;
mod workflow;

use clap::{Parser, Subcommand};
use config_file::ConfigFile;
use failure::USAGE;
use std::process::ExitCode;

/// A secret broker for Kubernetes build pods.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Serve(ConfigFile),
    /// Check a configuration and exit.
    Check(check::Check),
    /// Check everything that must be right in an installation, and advise on each fault.
    Doctor(doctor::Doctor),
    /// Serve on this machine with sample secrets. Needs no cluster and no Vault. Not for production.
    Dev(dev::Dev),
    /// Print the `OpenAPI` document of the REST API.
    Openapi,
    /// Print the custom resource definitions of policies (for `kubectl apply --server-side -f -`).
    Crds,
    /// Run a command with the secrets of a repo and branch in its environment.
    Exec(exec::Exec),
    /// Download the secrets of a repo and branch: request a ticket and redeem it.
    Fetch(fetch::Fetch),
    /// Serve bundles to the Secrets Store CSI driver of a node. Needs no configuration and no database.
    #[cfg(feature = "csi")]
    Csi(csi::Csi),
    /// Search an image or a folder for the secrets of a bundle.
    Scan(scan::Scan),
    /// Follow, export and verify the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Manage policies on a server, and test policy files without one.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// List when policies matched and secrets were read for the last time, unused ones first.
    Inventory(inventory::Options),
    /// After a restore of the database, revoke the tickets that may have been redeemed after the backup.
    Restore(restore::Restore),
    /// Print the Vault ACL (HCL) that the policies need.
    VaultPolicy(vault_policy::VaultPolicy),
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors; clap prints each to the right stream.
            let _ = error.print();
            // `exec` returns the exit codes of its command, which may include 2.
            let is_exec = std::env::args_os().nth(1).is_some_and(|command| command == "exec");
            let usage = if is_exec { exec::FAILED } else { USAGE };
            return if error.use_stderr() { ExitCode::from(usage) } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = crate::app::protect_memory() {
        // In a sandbox that forbids these calls, builds continue with a warning.
        eprintln!("claviger: its memory is not hidden from others: {error}");
    }
    crate::app::install_crypto();
    match cli.command {
        Command::Serve(file) => serve::run(&file.config),
        Command::Check(check) => check::run(&check),
        Command::Dev(dev) => dev::run(&dev),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Exec(exec) => exec::run(&exec),
        Command::Audit(audit) => audit::run(&audit),
        #[cfg(feature = "csi")]
        Command::Csi(csi) => csi::run(&csi),
        Command::Fetch(fetch) => fetch::run(&fetch),
        Command::Scan(scan) => scan::run(&scan),
        Command::Inventory(options) => inventory::run(&options),
        Command::Openapi => openapi::run(),
        Command::Crds => crds::run(),
        Command::Policy(policy) => policy::run(&policy),
        Command::Restore(restore) => restore::run(&restore),
        Command::VaultPolicy(options) => vault_policy::run(&options),
    }
}
