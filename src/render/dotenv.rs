//! `NAME="value"`, for dotenv readers with and without variable expansion.
//!
//! Dotenv has no standard. The readers considered here are npm's `dotenv`, `node --env-file`, `python-dotenv`,
//! docker compose, Next.js (`@next/env`), and `dotenv-expand` as in Vite and Astro. A value is quoted in the
//! first of three ways with which all these readers read the same value. If no way has this property, the bundle is
//! refused: a build that fails with the name of the key is better than a build with a wrong secret. `json` can hold
//! every value. docs/COMPATIBILITY.md shows how each reader treats difficult values.
//!
//! | quoting | may contain | because |
//! |---|---|---|
//! | `"value"` | anything but `"`, `\` and `$`; newline is written `\n` | npm's `dotenv` unescapes nothing but `\n` and `\r`, and keeps the backslash of `\"`, `\\` and `\$`; compose expands `$` |
//! | `'value'` | anything but `'`; a backslash only before a character that is neither `\` nor `'` | Python halves `\\` and unescapes `\'`, the other readers do not |
//! | `value` | no whitespace except inner spaces, no control characters, no `#`, no `$`, no quote at its beginning | npm's `dotenv` cuts at any `#`, the other readers at a `#` after a space; compose expands `$`; all readers trim |
//!
//! Values that no quoting can hold:
//!
//! | value | because |
//! |---|---|
//! | a carriage return | `node --env-file` keeps `\r` as two characters, and most readers read the character itself as a newline |
//! | `$` before a letter, a digit, `_` or `{` | Next.js and `dotenv-expand` expand a variable there, with any quoting; Python does so for `${` |
//! | `\$` | Next.js and `dotenv-expand` drop the backslash |
//!
//! [`dotenv_expand`](super::dotenv_expand) supports `$` for readers that expand variables. `docker run --env-file` is
//! another format: it has no quotes.

use super::line::{check_name, write_end_line};
use super::port::{Emit, UnrenderableReason};
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is checked")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), UnrenderableReason> {
    check_variable(name, entry)?;
    let value = entry.value.expose_secret();
    if may_be_expanded(value) {
        return Err(UnrenderableReason::ReadersExpand);
    }
    Quoting::choose(value).map(|_| ()).ok_or(UnrenderableReason::ReadersDisagree)
}

/// Refuses names and values that no dotenv file can hold, whether its reader expands variables or not.
#[expect(clippy::disallowed_methods, reason = "the value is checked")]
pub(super) fn check_variable(name: &str, entry: &Entry) -> Result<(), UnrenderableReason> {
    check_name(name, entry)?;
    // Node's dotenv assigns to a plain object, where this assignment has no effect.
    if name == "__proto__" {
        return Err(UnrenderableReason::DroppedByReaders);
    }
    let value = entry.value.expose_secret();
    if value.contains('\0') {
        return Err(UnrenderableReason::ContainsNul);
    }
    if value.contains('\r') {
        return Err(UnrenderableReason::ContainsCarriageReturn);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the value is rendered")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    for (name, entry) in &bundle.entries {
        emit(name.as_bytes());
        let value = entry.value.expose_secret();
        match Quoting::choose(value) {
            Some(Quoting::Double) => {
                emit(b"=\"");
                write_escaped(value, '\n', br"\n", emit);
                emit(b"\"\n");
            }
            Some(Quoting::Single) => {
                emit(b"='");
                emit(value.as_bytes());
                emit(b"'\n");
            }
            // `None` does not occur, because `check` refuses such a value.
            Some(Quoting::Unquoted) | None => {
                emit(b"=");
                emit(value.as_bytes());
                emit(b"\n");
            }
        }
    }
    write_end_line(bundle, emit);
}

/// Writes a value, with each occurrence of an ASCII character replaced by its escape.
pub(super) fn write_escaped(value: &str, character: char, escape: &[u8], emit: Emit<'_>) {
    let mut rest = value;
    while let Some(end) = rest.find(character) {
        emit(&rest.as_bytes()[..end]);
        emit(escape);
        rest = &rest[end + 1..];
    }
    emit(rest.as_bytes());
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Double,
    Single,
    Unquoted,
}

impl Quoting {
    /// The first way of quoting with which all readers read the same value. `None` if there is none.
    fn choose(value: &str) -> Option<Self> {
        if !value.contains(['"', '\\', '$']) {
            Some(Self::Double)
        } else if !value.contains('\'') && is_kept_in_single_quotes(value) {
            Some(Self::Single)
        } else if can_be_unquoted(value) && !value.contains('$') {
            Some(Self::Unquoted)
        } else {
            None
        }
    }
}

/// Whether some reader would expand a variable in the value, or drop a backslash before `$`.
fn may_be_expanded(value: &str) -> bool {
    let begins_variable = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'{');
    let mut dollars = value.match_indices('$');
    dollars.any(|(at, _)| value.as_bytes().get(at + 1).is_some_and(begins_variable) || value[..at].ends_with('\\'))
}

/// Whether all readers keep the backslashes of a value in single quotes. The value must have no single quote.
fn is_kept_in_single_quotes(value: &str) -> bool {
    !value.contains(r"\\") && !value.ends_with('\\')
}

/// Whether all readers read the value unchanged without quotes, apart from an expansion of `$`.
pub(super) fn can_be_unquoted(value: &str) -> bool {
    // U+FEFF is white space in JavaScript, but not in Rust.
    let is_unsafe = |c: char| matches!(c, '#' | '\u{feff}') || c.is_control() || (c.is_whitespace() && c != ' ');
    !value.contains(is_unsafe) && !value.starts_with(['\'', '"', '`', ' ']) && !value.ends_with(' ')
}
