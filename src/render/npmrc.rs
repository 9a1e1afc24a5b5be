//! `//host/path/:_authToken=TOKEN`, a line for each `NPM_REGISTRY` with its `NPM_TOKEN`, for npm, pnpm and Yarn 1.
//!
//! It says who the build is and not where packages come from: `registry=` and `@scope:registry=` stand in the
//! project's own `.npmrc`, and this file beside it, as `--userconfig` or `NPM_CONFIG_USERCONFIG`.
//!
//! A token is what RFC 6750 lets stand in an `Authorization` header: letters, digits, `-._~+/` and `=` at its end.
//! Every other character means something to an ini file or to npm (`${NAME}`), or cannot be sent; the four words that
//! npm reads as something else than text are refused too. A ready `.npmrc` is handed over by `raw`.

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
        // npm looks the registry up as JavaScript writes its URL, without the port that goes without saying.
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
