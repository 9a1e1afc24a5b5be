//! Exit codes of `claviger exec`, beside those of its command.

use std::io::ErrorKind;

/// Exit code if Claviger failed, not the command.
pub const FAILED: u8 = 125;
/// Exit code if the command exists but cannot be run.
const CANNOT_RUN: u8 = 126;
/// Exit code if the command does not exist.
const NOT_FOUND: u8 = 127;

/// The exit code of a command that did not start.
pub const fn code_of(error: ErrorKind) -> u8 {
    if matches!(error, ErrorKind::NotFound) { NOT_FOUND } else { CANNOT_RUN }
}
