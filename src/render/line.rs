//! The check of names, and the end line, for `export`, `dotenv` and `dotenv-expand`.

use super::port::{Emit, UnrenderableReason};
use super::shell_names;
use crate::model::bundle::{Bundle, Entry};

/// Refuses a name that is not a variable name. Refuses the name of a variable that can make programs run code, unless a policy
/// contains this name literally.
pub(super) fn check_name(name: &str, entry: &Entry) -> Result<(), UnrenderableReason> {
    let has_valid_start = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !has_valid_start || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(UnrenderableReason::NotAVariable);
    }
    if shell_names::can_run_code(name) && !entry.named_by_policy {
        return Err(UnrenderableReason::CanRunCode);
    }
    Ok(())
}

/// Writes the end line, `# claviger: N keys`. Writes nothing for an empty bundle, so that `[ -s file ]` detects it.
///
/// A file is complete if the end line is its last line and its reader accepts the file. A value may contain such a line, but a file
/// that is cut after that line ends inside a quoted value, which every reader refuses.
pub(super) fn write_end_line(bundle: &Bundle, emit: Emit<'_>) {
    if !bundle.entries.is_empty() {
        emit(format!("# claviger: {} keys\n", bundle.entries.len()).as_bytes());
    }
}
