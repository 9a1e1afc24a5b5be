//! `NAME="value"`, for dotenv readers with and without variable expansion.
//!
//! Dotenv has no standard. The readers considered here are npm's `dotenv`, `node --env-file`, `python-dotenv`,
//! docker compose, Next.js (`@next/env`), and `dotenv-expand` as in Vite and Astro. A value is written in the
//! first of three spellings that all of them read as the same value. If there is none, the bundle is refused: a
//! build that fails with the name of the key is better than a build with a wrong secret. `json` can hold every
//! value. docs/COMPATIBILITY.md shows how each reader treats difficult values.
//!
//! | spelling | may contain | because |
//! |---|---|---|
//! | `"value"` | anything but `"`, `\` and `$`; newline is written `\n` | npm's `dotenv` unescapes nothing but `\n` and `\r`, and keeps the backslash of `\"`, `\\` and `\$`; compose expands `$` |
//! | `'value'` | anything but `'`; a backslash only before a character that is neither `\` nor `'` | Python halves `\\` and unescapes `\'`, the others do not |
//! | `value` | no whitespace but single-line inner spaces, no control characters, no `#`, no `$`, no quote at its beginning | npm's `dotenv` cuts at any `#`, others at a space before it; compose expands `$`; all trim |
//!
//! Values that no spelling can hold:
//!
//! | value | because |
//! |---|---|
//! | a carriage return | `node --env-file` keeps `\r` as two characters, and most read the character itself as a newline |
//! | `$` before a letter, a digit, `_` or `{` | Next.js and `dotenv-expand` put a variable there, in any spelling; Python does it for `${` |
//! | `\$` | they drop the backslash |
//!
//! [`dotenv_expand`](super::dotenv_expand) supports `$` for readers that expand. `docker run --env-file` is
//! another format: it has no quotes.

use super::line::{check_name, write_end};
use super::port::{Emit, Reason};
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it can be carried")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), Reason> {
    check_variable(name, entry)?;
    let value = entry.value.expose_secret();
    if is_expanded(value) {
        return Err(Reason::ReadersExpand);
    }
    Spelling::of(value).map(|_| ()).ok_or(Reason::ReadersDisagree)
}

/// Checks for values that no dotenv file can hold, with or without expansion.
#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it can be carried")]
pub(super) fn check_variable(name: &str, entry: &Entry) -> Result<(), Reason> {
    check_name(name, entry)?;
    // Node's dotenv assigns to a plain object, where this assignment has no effect.
    if name == "__proto__" {
        return Err(Reason::DroppedByReaders);
    }
    let value = entry.value.expose_secret();
    if value.contains('\0') {
        return Err(Reason::ContainsNul);
    }
    if value.contains('\r') {
        return Err(Reason::ContainsCarriageReturn);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the value is handed over")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    for (name, entry) in &bundle.entries {
        emit(name.as_bytes());
        let value = entry.value.expose_secret();
        match Spelling::of(value) {
            Some(Spelling::Double) => {
                emit(b"=\"");
                write_replaced(value, '\n', br"\n", emit);
                emit(b"\"\n");
            }
            Some(Spelling::Single) => {
                emit(b"='");
                emit(value.as_bytes());
                emit(b"'\n");
            }
            // `check` has refused a value without a spelling.
            Some(Spelling::Bare) | None => {
                emit(b"=");
                emit(value.as_bytes());
                emit(b"\n");
            }
        }
    }
    write_end(bundle, emit);
}

/// Writes a value and replaces one ASCII character by an escape.
pub(super) fn write_replaced(value: &str, character: char, escape: &[u8], emit: Emit<'_>) {
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
enum Spelling {
    Double,
    Single,
    Bare,
}

impl Spelling {
    /// The first spelling that all readers read as the same value.
    fn of(value: &str) -> Option<Self> {
        if !value.contains(['"', '\\', '$']) {
            Some(Self::Double)
        } else if !value.contains('\'') && lone_backslashes(value) {
            Some(Self::Single)
        } else if is_bare(value) && !value.contains('$') {
            Some(Self::Bare)
        } else {
            None
        }
    }
}

/// Whether a reader with variable expansion would change the value.
fn is_expanded(value: &str) -> bool {
    let begins_variable = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'{');
    let mut dollars = value.match_indices('$');
    dollars.any(|(at, _)| value.as_bytes().get(at + 1).is_some_and(begins_variable) || value[..at].ends_with('\\'))
}

/// Whether no backslash is followed by another one. Single quotes are excluded before.
fn lone_backslashes(value: &str) -> bool {
    !value.contains(r"\\") && !value.ends_with('\\')
}

/// Whether all readers return an unquoted value unchanged, apart from `$`.
pub(super) fn is_bare(value: &str) -> bool {
    // U+FEFF is white space in JavaScript only.
    let unsafe_anywhere = |c: char| matches!(c, '#' | '\u{feff}') || c.is_control() || (c.is_whitespace() && c != ' ');
    !value.contains(unsafe_anywhere) && !value.starts_with(['\'', '"', '`', ' ']) && !value.ends_with(' ')
}
