//! Progress: one line, rewritten, on a terminal; nothing in a pipe or a log.

use crate::cli::printable::printable;
use std::io::{IsTerminal as _, Write as _, stderr};

/// The output for progress.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    is_told: bool,
}

impl Progress {
    /// Standard error, if it is a terminal.
    pub fn on_terminal() -> Self {
        Self { is_told: stderr().is_terminal() }
    }

    /// No output.
    pub const fn silent() -> Self {
        Self { is_told: false }
    }

    /// Replaces the line by the current step.
    pub fn says(self, what: &str) {
        if self.is_told {
            let _ = write!(stderr(), "\r\u{1b}[2Kclaviger: {} ...", printable(what));
        }
    }

    /// Clears the line.
    pub fn clear(self) {
        if self.is_told {
            let _ = write!(stderr(), "\r\u{1b}[2K");
        }
    }

    /// Replaces the line by a final message.
    pub fn ends(self, with: &str) {
        if self.is_told {
            let _ = writeln!(stderr(), "\r\u{1b}[2Kclaviger: {}", printable(with));
        }
    }
}
