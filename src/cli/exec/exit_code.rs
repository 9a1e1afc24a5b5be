//! Exit codes of `claviger exec` when its command did not run.

use std::io::ErrorKind;

/// Claviger failed, not the command.
pub const FAILED: u8 = 125;
/// The command exists but cannot be run.
const CANNOT_RUN: u8 = 126;
/// The command does not exist.
const NOT_FOUND: u8 = 127;

/// The exit code of a command that did not start.
pub const fn start_error_code(error: ErrorKind) -> u8 {
    if matches!(error, ErrorKind::NotFound) { NOT_FOUND } else { CANNOT_RUN }
}
