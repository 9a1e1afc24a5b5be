//! Shows progress in one line of a terminal. Writes nothing if standard error is not a terminal.

use crate::cli::terminal::escape_for_terminal;
use std::io::{IsTerminal as _, Write as _, stderr};

/// The progress line.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    is_visible: bool,
}

impl Progress {
    /// Writes to standard error, if it is a terminal.
    pub fn on_terminal() -> Self {
        Self { is_visible: stderr().is_terminal() }
    }

    /// Writes nothing.
    pub const fn silent() -> Self {
        Self { is_visible: false }
    }

    /// Replaces the line by the current step.
    pub fn show_step(self, step: &str) {
        if self.is_visible {
            let _ = write!(stderr(), "\r\u{1b}[2Kclaviger: {} ...", escape_for_terminal(step));
        }
    }

    /// Clears the line.
    pub fn clear(self) {
        if self.is_visible {
            let _ = write!(stderr(), "\r\u{1b}[2K");
        }
    }

    /// Replaces the line by a final message.
    pub fn finish(self, message: &str) {
        if self.is_visible {
            let _ = writeln!(stderr(), "\r\u{1b}[2Kclaviger: {}", escape_for_terminal(message));
        }
    }
}
