//! `NAME="value"` with `\$` for `$`: for dotenv readers that expand variables.
//!
//! These are Next.js (`@next/env`), and npm's `dotenv` followed by `dotenv-expand`, as in Vite and Astro. They
//! read `$NAME` as a variable in any spelling, and `\$` as `$`. Readers that do not expand keep the backslash; use
//! [`dotenv`](super::dotenv) for those.
//!
//! | spelling | may contain | because |
//! |---|---|---|
//! | `"value"` | anything but `"`, `\n` and `\r` as two characters, and a backslash at the end; newline is written `\n` | `\n` and `\r` are unescaped there, and nothing else is |
//! | `'value'`, then `` `value` `` | anything but that quote and a backslash at the end | nothing is unescaped there |
//! | `value` | no whitespace but single-line inner spaces, no control characters, no `#`, no quote at its beginning | `#` begins a comment; all trim |
//!
//! A carriage return is refused, because Vite reads `\r` as two characters. `\$` is refused, because `dotenv-expand` 11
//! reads `\\$` as `$`, and later versions as `\$`.

use super::dotenv::{check_variable, is_bare, write_replaced};
use super::line::write_end;
use super::port::{Emit, Reason};
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is looked at, to see whether it can be carried")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), Reason> {
    check_variable(name, entry)?;
    Spelling::of(entry.value.expose_secret()).map(|_| ()).ok_or(Reason::ReadersDisagree)
}

#[expect(clippy::disallowed_methods, reason = "the value is handed over")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    for (name, entry) in &bundle.entries {
        emit(name.as_bytes());
        // `check` has refused a value without a spelling.
        let spelling = Spelling::of(entry.value.expose_secret()).unwrap_or(Spelling::Bare);
        let quote = spelling.quote();
        emit(b"=");
        emit(quote);
        write_replaced(entry.value.expose_secret(), '$', br"\$", &mut |piece| {
            // The pieces between two dollars are UTF-8, because the value is.
            match std::str::from_utf8(piece) {
                Ok(text) if spelling == Spelling::Double => write_replaced(text, '\n', br"\n", emit),
                _ => emit(piece),
            }
        });
        emit(quote);
        emit(b"\n");
    }
    write_end(bundle, emit);
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Double,
    Single,
    Backtick,
    Bare,
}

impl Spelling {
    /// The first spelling that all readers read as the same value.
    fn of(value: &str) -> Option<Self> {
        let ends_well = !value.ends_with('\\');
        if value.contains(r"\$") {
            None
        } else if ends_well && !value.contains('"') && !value.contains(r"\n") && !value.contains(r"\r") {
            Some(Self::Double)
        } else if ends_well && !value.contains('\'') {
            Some(Self::Single)
        } else if ends_well && !value.contains('`') {
            Some(Self::Backtick)
        } else {
            is_bare(value).then_some(Self::Bare)
        }
    }

    const fn quote(self) -> &'static [u8] {
        match self {
            Self::Double => b"\"",
            Self::Single => b"'",
            Self::Backtick => b"`",
            Self::Bare => b"",
        }
    }
}
