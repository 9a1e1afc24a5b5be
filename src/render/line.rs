//! What `export`, `dotenv` and `dotenv-expand` share: a line for each key, which names it may have, and the end line.

use super::port::{Emit, Reason};
use super::shell_names;
use crate::model::bundle::{Bundle, Entry};

/// Whether a line can bear the name.
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

/// Writes `# claviger: N keys` behind the last key; nothing for an empty bundle, so that `[ -s file ]` tells.
///
/// It is the end line only as the very last line of a file that its reader accepts: a value may have a line that
/// looks like it, but a file cut behind that one ends inside a quote, which every reader refuses.
pub(super) fn write_end(bundle: &Bundle, emit: Emit<'_>) {
    if !bundle.entries.is_empty() {
        emit(format!("# claviger: {} keys\n", bundle.entries.len()).as_bytes());
    }
}
