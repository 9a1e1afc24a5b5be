//! `claviger audit export`.

use super::filters::Filters;
use super::printing::Printer;
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::server::ServerArguments;

/// The options of `claviger audit export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    filters: Filters,
}

/// Prints all events. Exit code 0 means that none is missing.
pub async fn run(export: &Export, server: &Connection) -> Result<(), Failure> {
    let mut printer = Printer::new();
    server.lines(&export.filters.path()?, |line| printer.line(line)).await?;
    printer.flush()
}
