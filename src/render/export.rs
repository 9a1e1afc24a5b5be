//! `export NAME='value'`, for the `.` command of any POSIX shell.
//!
//! Within single quotes only the single quote has a meaning. It is written `'\''`, and everything else unchanged:
//! newlines are kept, and nothing is expanded or executed. This holds under `set -eu` too. No quoting can express NUL.

use super::line::{check_name, write_end_line};
use super::port::{Emit, UnrenderableReason};
use super::shell_names;
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is checked")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), UnrenderableReason> {
    check_name(name, entry)?;
    // Refused even if a policy contains the name: `export OPTIND='a[$(id)]'` runs `id` in bash despite the quotes.
    if shell_names::is_reserved_by_shells(name) {
        return Err(UnrenderableReason::ReservedByShells);
    }
    if entry.value.expose_secret().contains('\0') {
        return Err(UnrenderableReason::ContainsNul);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the value is rendered")]
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
    write_end_line(bundle, emit);
}
