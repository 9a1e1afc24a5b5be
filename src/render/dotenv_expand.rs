//! `NAME="value"` with `\$` for `$`: for dotenv readers that expand variables.
//!
//! These readers are Next.js (`@next/env`), and npm's `dotenv` followed by `dotenv-expand`, as in Vite and Astro. With
//! any quoting they read `$NAME` as a variable, and `\$` as `$`. Readers that do not expand variables keep the
//! backslash; use [`dotenv`](super::dotenv) for them.
//!
//! | quoting | may contain | because |
//! |---|---|---|
//! | `"value"` | anything but `"`, `\n` and `\r` as two characters, and a backslash at the end; newline is written `\n` | `\n` and `\r` are unescaped there, and nothing else is |
//! | `'value'`, then `` `value` `` | anything but that quote and a backslash at the end | nothing is unescaped there |
//! | `value` | no whitespace except inner spaces, no control characters, no `#`, no quote at its beginning | `#` begins a comment; all readers trim |
//!
//! A carriage return is refused, because Vite reads `\r` as two characters. `\$` is refused, because `dotenv-expand` 11
//! reads `\\$` as `$`, and later versions as `\$`.

use super::dotenv::{can_be_unquoted, check_variable, write_escaped};
use super::line::write_end_line;
use super::port::{Emit, UnrenderableReason};
use crate::model::bundle::{Bundle, Entry};

#[expect(clippy::disallowed_methods, reason = "the value is checked")]
pub(super) fn check(name: &str, entry: &Entry) -> Result<(), UnrenderableReason> {
    check_variable(name, entry)?;
    Quoting::choose(entry.value.expose_secret()).map(|_| ()).ok_or(UnrenderableReason::ReadersDisagree)
}

#[expect(clippy::disallowed_methods, reason = "the value is rendered")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    for (name, entry) in &bundle.entries {
        emit(name.as_bytes());
        // `None` does not occur, because `check` refuses such a value.
        let quoting = Quoting::choose(entry.value.expose_secret()).unwrap_or(Quoting::Unquoted);
        let quote = quoting.quote();
        emit(b"=");
        emit(quote);
        write_escaped(entry.value.expose_secret(), '$', br"\$", &mut |piece| {
            // The pieces between dollar signs are UTF-8, because the value is.
            match std::str::from_utf8(piece) {
                Ok(text) if quoting == Quoting::Double => write_escaped(text, '\n', br"\n", emit),
                _ => emit(piece),
            }
        });
        emit(quote);
        emit(b"\n");
    }
    write_end_line(bundle, emit);
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Double,
    Single,
    Backtick,
    Unquoted,
}

impl Quoting {
    /// The first way of quoting with which all readers read the same value. `None` if there is none.
    fn choose(value: &str) -> Option<Self> {
        let has_safe_end = !value.ends_with('\\');
        if value.contains(r"\$") {
            None
        } else if has_safe_end && !value.contains('"') && !value.contains(r"\n") && !value.contains(r"\r") {
            Some(Self::Double)
        } else if has_safe_end && !value.contains('\'') {
            Some(Self::Single)
        } else if has_safe_end && !value.contains('`') {
            Some(Self::Backtick)
        } else {
            can_be_unquoted(value).then_some(Self::Unquoted)
        }
    }

    const fn quote(self) -> &'static [u8] {
        match self {
            Self::Double => b"\"",
            Self::Single => b"'",
            Self::Backtick => b"`",
            Self::Unquoted => b"",
        }
    }
}
