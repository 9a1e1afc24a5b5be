//! Environment variables of CI services.

use std::ffi::OsString;

/// A variable that a CI service sets.
#[expect(clippy::disallowed_methods, reason = "a CI service passes tokens and file names in variables")]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
