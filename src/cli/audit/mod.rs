//! `claviger audit`: the audit log from a shell.

mod export;
mod filters;
mod line;
mod offline;
mod printing;
mod tail;
mod verify;

pub use filters::{parameter, time};

use super::connection::on;
use clap::Subcommand;
use std::process::ExitCode;

/// The audit commands.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Print the last events, newest last; with --follow also new events.
    Tail(tail::Tail),
    /// Verify the hash chains of a server or of an export file.
    Verify(verify::Verify),
    /// Print all matching events, one JSON object per line, newest first.
    Export(export::Export),
}

pub fn run(audit: &Audit) -> ExitCode {
    let done = match audit {
        Audit::Tail(tail) => on(&tail.server, async |server| tail::run(tail, &server).await),
        Audit::Verify(verify) => verify::run(verify),
        Audit::Export(export) => on(&export.server, async |server| export::run(export, &server).await),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print_and_code(),
    }
}
