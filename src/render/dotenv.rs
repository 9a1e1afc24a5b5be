//! `NAME="value"`, for the dotenv readers of docker compose, Node (`dotenv`) and Python (`python-dotenv`).
//!
//! Dotenv has no standard. The three agree on less than each of them can read, so a value is written in the first of
//! three spellings that all of them read alike, and refused where there is none: a build that fails with the name of
//! the key beats a build with a wrong secret. `json` carries everything.
//!
//! | spelling | may contain | because |
//! |---|---|---|
//! | `"value"` | anything but `"`, `\` and `$`; newline and CR are written `\n` and `\r` | Node unescapes nothing but `\n` and `\r`, and keeps the backslash of `\"`, `\\` and `\$`; compose expands `$` |
//! | `'value'` | anything but `'`, CR and `${`; a backslash only before a character that is neither `\` nor `'` | Python halves `\\` and unescapes `\'`, Node and compose do not; Node and Python read CR as a newline; Python expands `${` in every spelling |
//! | `value` | no whitespace but single-line inner spaces, no control characters, no `#`, no `$`, no quote at its beginning | Node cuts at any `#`, the others at a space before it; compose expands `$`; all trim |
//!
//! So refused are, for example: both kinds of quotes together with a newline, `#` or `$`; CR together with `"`, `\` or
//! `$`; `${`; a backslash at the end of a value that also has `#` or `$`.
//!
//! Readers that expand variables over what `dotenv` read (dotenv-expand, as in Vite and Next.js) also change `$NAME`,
//! in any spelling. `docker run --env-file` is another format: it knows no quotes at all.

use super::line::{check_name, write_end};
use super::{Emit, Reason};
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it can be carried")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), Reason> {
    check_name(name, entry)?;
    // Node's dotenv assigns to a plain object, and this assignment is lost.
    if name == "__proto__" {
        return Err(Reason::DroppedByReaders);
    }
    let value = entry.value.expose_secret();
    if value.contains('\0') {
        return Err(Reason::ContainsNul);
    }
    Spelling::of(value).map(|_| ()).ok_or(Reason::ReadersDisagree)
}

#[expect(clippy::disallowed_methods, reason = "the value is handed over")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    for (name, entry) in &bundle.entries {
        emit(name.as_bytes());
        let value = entry.value.expose_secret();
        match Spelling::of(value) {
            Some(Spelling::Double) => write_double(value, emit),
            Some(Spelling::Single) => {
                emit(b"='");
                emit(value.as_bytes());
                emit(b"'\n");
            }
            // Without a spelling `check` has refused the bundle.
            Some(Spelling::Bare) | None => {
                emit(b"=");
                emit(value.as_bytes());
                emit(b"\n");
            }
        }
    }
    write_end(bundle, emit);
}

fn write_double(value: &str, emit: Emit<'_>) {
    emit(b"=\"");
    let mut rest = value;
    while let Some((line, after)) = rest.find(['\n', '\r']).map(|end| rest.split_at(end)) {
        emit(line.as_bytes());
        emit(if after.starts_with('\n') { br"\n" } else { br"\r" });
        rest = &after[1..];
    }
    emit(rest.as_bytes());
    emit(b"\"\n");
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Double,
    Single,
    Bare,
}

impl Spelling {
    /// The first spelling of the value that all readers read alike.
    fn of(value: &str) -> Option<Self> {
        if !value.contains(['"', '\\', '$']) {
            Some(Self::Double)
        } else if !value.contains(['\'', '\r']) && !value.contains("${") && lone_backslashes(value) {
            Some(Self::Single)
        } else if is_bare(value) {
            Some(Self::Bare)
        } else {
            None
        }
    }
}

/// Whether every backslash stands before a character that is no backslash; the single quote is excluded already.
fn lone_backslashes(value: &str) -> bool {
    !value.contains(r"\\") && !value.ends_with('\\')
}

fn is_bare(value: &str) -> bool {
    // U+FEFF is white space to JavaScript, and only there.
    let unsafe_anywhere =
        |c: char| matches!(c, '#' | '$' | '\u{feff}') || c.is_control() || (c.is_whitespace() && c != ' ');
    !value.contains(unsafe_anywhere) && !value.starts_with(['\'', '"', '`', ' ']) && !value.ends_with(' ')
}
