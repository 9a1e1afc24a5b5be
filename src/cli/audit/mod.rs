//! `claviger audit`: prints and verifies the audit log.

mod event_line;
mod export;
mod filters;
mod log_files;
mod printer;
mod tail;
mod verify;

pub use filters::{parse_time, query_parameter};

use super::command_error::CommandError;
use super::connection::with_connection;
use clap::Subcommand;

/// The audit commands.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the last events, newest last; with --follow also new events.
    Tail(tail::TailArguments),
    /// Verify the hash chains of a server or of an export file.
    Verify(verify::VerifyArguments),
    /// Print all matching events, one JSON object per line, newest first.
    Export(export::ExportArguments),
}

pub fn run(audit: &AuditCommand) -> Result<(), CommandError> {
    match audit {
        AuditCommand::Tail(tail) => with_connection(&tail.server, async |server| tail::run(tail, &server).await),
        AuditCommand::Verify(verify) => verify::run(verify),
        AuditCommand::Export(export) => {
            with_connection(&export.server, async |server| export::run(export, &server).await)
        }
    }
}
