//! Reads environment variables that CI services set.

use std::ffi::OsString;

/// The value of an environment variable that a CI service sets. `None` if it is not set.
#[expect(clippy::disallowed_methods, reason = "a CI service passes tokens and file names in variables")]
pub fn ci_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
