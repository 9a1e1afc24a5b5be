//! One module for each command of the binary, and what they share.

mod atomic_file;
mod audit;
mod bearer;
mod bundle;
mod check;
mod command_error;
mod config;
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
mod fetch;
mod http_client;
mod ignored_signals;
mod input_file;
mod inventory;
mod openapi;
mod policy;
mod restore;
mod retry_budget;
mod runtime;
mod scan;
mod serve;
mod server_arguments;
mod terminal;
mod token;
mod vault_policy;
mod workflow;

use clap::{Parser, Subcommand};
use command_error::USAGE;
use config_file::ConfigArgument;
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
    Serve(ConfigArgument),
    /// Check a configuration and exit.
    Check(check::CheckArguments),
    /// Check everything that must be right in an installation, and advise on each fault.
    Doctor(doctor::DoctorArguments),
    /// Serve on this machine with sample secrets. Needs no cluster and no Vault. Not for production.
    Dev(dev::DevArguments),
    /// Print the `OpenAPI` document of the REST API.
    Openapi,
    /// Print the JSON Schema of the configuration file.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the custom resource definitions of policies (for `kubectl apply --server-side -f -`).
    Crds,
    /// Run a command with the secrets of a repo and branch in its environment.
    Exec(exec::ExecArguments),
    /// Download the secrets of a repo and branch: request a ticket and redeem it.
    Fetch(fetch::FetchArguments),
    /// Serve secrets to the Secrets Store CSI driver of a node. Needs no configuration and no database.
    #[cfg(feature = "csi")]
    Csi(csi::CsiArguments),
    /// Search an image or a folder for secrets: those of a downloaded file or of a ticket.
    Scan(scan::ScanArguments),
    /// Follow, export and verify the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Manage policies on a server, and test policy files without one.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// List when policies matched and secrets were read for the last time, unused ones first.
    Inventory(inventory::InventoryArguments),
    /// After a restore of the database, revoke the tickets that may have been redeemed after the backup.
    Restore(restore::RestoreArguments),
    /// Print the Vault ACL (HCL) that the policies need.
    VaultPolicy(vault_policy::VaultPolicyArguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors; clap prints each to the right stream.
            let _ = error.print();
            // `exec` returns the exit code of the command that it runs, which may be 2, so its usage errors have another code.
            let is_exec = std::env::args_os().nth(1).is_some_and(|command| command == "exec");
            let usage_code = if is_exec { exec::FAILED } else { USAGE };
            return if error.use_stderr() { ExitCode::from(usage_code) } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = crate::app::protect_memory() {
        // A sandbox may forbid these calls; the command continues.
        eprintln!("claviger: the memory of this process is not protected from other processes: {error}");
    }
    crate::app::install_crypto_provider();
    let result = match cli.command {
        Command::Serve(file) => serve::run(&file),
        Command::Check(check) => check::run(&check),
        Command::Dev(dev) => dev::run(&dev),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Exec(exec) => return exec::run(&exec),
        Command::Audit(audit) => audit::run(&audit),
        #[cfg(feature = "csi")]
        Command::Csi(csi) => csi::run(&csi),
        Command::Fetch(fetch) => fetch.run(),
        Command::Scan(scan) => return scan::run(&scan),
        Command::Inventory(arguments) => inventory::run(&arguments),
        Command::Openapi => openapi::run(),
        Command::Config(command) => {
            config::run(&command);
            Ok(())
        }
        Command::Crds => crds::run(),
        Command::Policy(policy) => return policy::run(&policy),
        Command::Restore(restore) => restore::run(&restore),
        Command::VaultPolicy(arguments) => vault_policy::run(&arguments),
    };
    result.map_or_else(|error| error.report(), |()| ExitCode::SUCCESS)
}
