//! `export NAME='value'`, to be sourced with `.` by any POSIX shell.
//!
//! Within single quotes only the single quote has a meaning. It is written `'\''`, and everything else unchanged:
//! newlines are kept, nothing is expanded or executed, also under `set -eu`. NUL cannot be expressed.

use super::line::{check_name, write_end};
use super::port::{Emit, Reason};
use super::shell_names;
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it can be carried")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), Reason> {
    check_name(name, entry)?;
    // Refused even if a policy names them: `export OPTIND='a[$(id)]'` runs `id` in bash despite the quotes.
    if shell_names::kept_by_shells(name) {
        return Err(Reason::KeptByShells);
    }
    if entry.value.expose_secret().contains('\0') {
        return Err(Reason::ContainsNul);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the value is handed over")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    for (name, entry) in &bundle.entries {
        emit(b"export ");
        emit(name.as_bytes());
        emit(b"='");
        for (index, part) in entry.value.expose_secret().split('\'').enumerate() {
            if index > 0 {
                emit(br"'\''");
            }
            emit(part.as_bytes());
        }
        emit(b"'\n");
    }
    write_end(bundle, emit);
}
