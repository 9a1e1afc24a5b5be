//! `//host/path/:_authToken=TOKEN`, one line for each `NPM_REGISTRY` with its `NPM_TOKEN`, for npm, pnpm and Yarn
//! 1.
//!
//! The file authenticates the build and does not choose registries: `registry=` and `@scope:registry=` are in the
//! project's own `.npmrc`. Pass this file as `--userconfig` or `NPM_CONFIG_USERCONFIG`.
//!
//! A token has the characters that RFC 6750 allows in an `Authorization` header: letters, digits, `-._~+/` and
//! trailing `=`. Every other character has a meaning in ini files or to npm (`${NAME}`), or cannot be sent. The
//! four words that npm does not read as text are refused too. Use `raw` for a complete `.npmrc`.

use super::address::Address;
use super::credentials::{Named, gather};
use super::port::{Emit, Reason, Unrenderable};
use crate::model::bundle::Bundle;

/// A registry and its token.
pub(super) struct Line<'a> {
    authority: &'a str,
    path: &'a str,
    token: Named<'a>,
}

pub(super) fn check(bundle: &Bundle) -> Result<Vec<Line<'_>>, Unrenderable> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for [registry, token] in gather(bundle, ["NPM_REGISTRY", "NPM_TOKEN"])? {
        token.must(is_token(token.value()), Reason::NotAToken)?;
        let Some(Address { plain_http, authority, path }) = Address::of(registry.value()) else {
            return Err(registry.refused(Reason::NotAnAddress));
        };
        // npm looks up the registry by its URL as JavaScript writes it, without the default port.
        let port = if plain_http { ":80" } else { ":443" };
        let authority = authority.strip_suffix(port).unwrap_or(authority);
        let again = lines.iter().any(|line| (line.authority, line.path) == (authority, path));
        registry.must(!again, Reason::SamePlaceTwice)?;
        lines.push(Line { authority, path, token });
    }
    Ok(lines)
}

pub(super) fn write(lines: &[Line<'_>], emit: Emit<'_>) {
    for Line { authority, path, token } in lines {
        let slash = if path.is_empty() { "" } else { "/" };
        emit(format!("//{authority}/{path}{slash}:_authToken=").as_bytes());
        emit(token.value().as_bytes());
        emit(b"\n");
    }
}

fn is_token(value: &str) -> bool {
    let text = value.trim_end_matches('=');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !text.is_empty() && text.bytes().all(plain) && !matches!(value, "true" | "false" | "null" | "undefined")
}
