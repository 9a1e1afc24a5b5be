//! Shared by `export`, `dotenv` and `dotenv-expand`: one line per key, the check of its name, and the end line.

use super::port::{Emit, Reason};
use super::shell_names;
use crate::model::bundle::{Bundle, Entry};

/// Checks whether a line can have this name.
pub(super) fn check_name(name: &str, entry: &Entry) -> Result<(), Reason> {
    let begins_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !begins_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Reason::NotAVariable);
    }
    if shell_names::owns_a_shell(name) && !entry.named_by_policy {
        return Err(Reason::OwnsAShell);
    }
    Ok(())
}

/// Writes `# claviger: N keys` after the last key; nothing for an empty bundle, so that `[ -s file ]` detects it.
///
/// It counts as the end line only if it is the last line of a file that its reader accepts: a value may contain
/// the same line, but a file cut after it ends inside a quote, which every reader rejects.
pub(super) fn write_end(bundle: &Bundle, emit: Emit<'_>) {
    if !bundle.entries.is_empty() {
        emit(format!("# claviger: {} keys\n", bundle.entries.len()).as_bytes());
    }
}
