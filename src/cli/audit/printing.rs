//! Lines on standard output, which may be a pipe whose reader has closed it.

use crate::cli::failure::Failure;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write as _};

/// Buffered standard output.
pub struct Printer(BufWriter<Stdout>);

impl Printer {
    pub fn new() -> Self {
        Self(BufWriter::with_capacity(256 * 1024, io::stdout()))
    }

    /// Prints a line.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.0.write_all(line.as_bytes()).and_then(|()| self.0.write_all(b"\n"));
        written.map_err(|error| failed(&error))
    }

    /// Flushes.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(|error| failed(&error))
    }
}

/// A reader that closes the pipe is not an error.
fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Told,
        kind => Failure::Failed(format!("cannot print: {kind}")),
    }
}
