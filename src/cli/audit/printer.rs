//! Prints lines on standard output, which may be a closed pipe.

use crate::cli::command_error::CommandError;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write as _};

/// Buffered standard output.
pub struct Printer(BufWriter<Stdout>);

impl Printer {
    pub fn new() -> Self {
        Self(BufWriter::with_capacity(256 * 1024, io::stdout()))
    }

    /// Prints a line.
    pub fn print_line(&mut self, line: &str) -> Result<(), CommandError> {
        let written = self.0.write_all(line.as_bytes()).and_then(|()| self.0.write_all(b"\n"));
        written.map_err(|error| print_error(&error))
    }

    pub fn flush(&mut self) -> Result<(), CommandError> {
        self.0.flush().map_err(|error| print_error(&error))
    }
}

/// The error of a failed write. A closed pipe is not reported.
fn print_error(error: &io::Error) -> CommandError {
    match error.kind() {
        ErrorKind::BrokenPipe => CommandError::Printed,
        kind => CommandError::Other(format!("cannot print: {kind}")),
    }
}
