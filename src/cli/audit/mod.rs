//! `claviger audit`: the audit log from a shell.

mod export;
mod filters;
mod line;
mod offline;
mod printing;
mod tail;
mod verify;

use super::connection::{self, on};
use super::failure;
use super::server;
use clap::Subcommand;
use std::process::ExitCode;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Print the last events, the newest last; with --follow also those that come.
    Tail(tail::Tail),
    /// Check the hash chains: at a server, or of an export without one.
    Verify(verify::Verify),
    /// Print every event that matches, one JSON object a line, the newest first.
    Export(export::Export),
}

/// Does it.
pub fn run(audit: &Audit) -> ExitCode {
    let done = match audit {
        Audit::Tail(tail) => on(&tail.server, async |server| tail::run(tail, &server).await),
        Audit::Verify(verify) => verify::run(verify),
        Audit::Export(export) => on(&export.server, async |server| export::run(export, &server).await),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
