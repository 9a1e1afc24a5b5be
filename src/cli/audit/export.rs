//! `claviger audit export`: prints all matching events.

use super::filters::FilterArguments;
use super::printer::Printer;
use crate::cli::command_error::CommandError;
use crate::cli::connection::Connection;
use crate::cli::server_arguments::ServerArguments;

/// The options of `claviger audit export`.
#[derive(Debug, clap::Args)]
pub struct ExportArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    filters: FilterArguments,
}

/// Prints all events. Fails if the stream ends early.
pub async fn run(export: &ExportArguments, server: &Connection) -> Result<(), CommandError> {
    let mut printer = Printer::new();
    server.read_lines(&export.filters.request_path()?, |line| printer.print_line(line)).await?;
    printer.flush()
}
