//! What is told while it goes on: one line, rewritten, on a terminal; nothing in a pipe or a log.

use crate::cli::printable::printable;
use std::io::{IsTerminal as _, Write as _, stderr};

/// Where progress is told.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    is_told: bool,
}

impl Progress {
    /// On standard error, where that is a terminal.
    pub fn on_terminal() -> Self {
        Self { is_told: stderr().is_terminal() }
    }

    /// Nowhere.
    pub const fn silent() -> Self {
        Self { is_told: false }
    }

    /// Says what is being done, in the place of what was said before.
    pub fn says(self, what: &str) {
        if self.is_told {
            let _ = write!(stderr(), "\r\u{1b}[2Kclaviger: {} ...", printable(what));
        }
    }

    /// Takes back what was said.
    pub fn clear(self) {
        if self.is_told {
            let _ = write!(stderr(), "\r\u{1b}[2K");
        }
    }

    /// Says what has been done.
    pub fn ends(self, with: &str) {
        if self.is_told {
            let _ = writeln!(stderr(), "\r\u{1b}[2Kclaviger: {}", printable(with));
        }
    }
}
