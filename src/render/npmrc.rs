//! `//host/path/:_authToken=TOKEN`, one line for each credential, that is, for each prefix of `NPM_REGISTRY` and `NPM_TOKEN`
//! (see [`super::credentials`]), for npm, pnpm and Yarn 1.
//!
//! The file only authenticates the build: `registry=` and `@scope:registry=` belong in the `.npmrc` of the project. Pass
//! the rendered file as `--userconfig` or `NPM_CONFIG_USERCONFIG`.
//!
//! A token has the characters that RFC 6750 allows in an `Authorization` header: letters, digits, `-._~+/` and trailing `=`. Every
//! other character has a meaning in ini files or to npm (`${NAME}`), or cannot be sent. The words `true`, `false`, `null` and
//! `undefined`, which npm does not read as text, are refused too. Use `raw` for a complete `.npmrc`.

use super::credentials::{CredentialPart, group_credentials};
use super::port::{Emit, UnrenderableKey, UnrenderableReason};
use super::registry_address::Address;
use crate::model::bundle::Bundle;

/// A registry and its token.
pub(super) struct Line<'a> {
    authority: &'a str,
    path: &'a str,
    token: CredentialPart<'a>,
}

/// Builds the lines. Fails if a registry is not an address or occurs twice, if a token is not a bearer token, or as
/// [`group_credentials`] does.
pub(super) fn prepare(bundle: &Bundle) -> Result<Vec<Line<'_>>, UnrenderableKey> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for [registry, token] in group_credentials(bundle, ["NPM_REGISTRY", "NPM_TOKEN"])? {
        token.require(is_token(token.value()), UnrenderableReason::NotAToken)?;
        let Some(Address { plain_http, authority, path }) = Address::parse(registry.value()) else {
            return Err(registry.error(UnrenderableReason::NotAnAddress));
        };
        // npm looks up the registry by its URL, from which JavaScript removes the default port.
        let port = if plain_http { ":80" } else { ":443" };
        let authority = authority.strip_suffix(port).unwrap_or(authority);
        let is_duplicate = lines.iter().any(|line| (line.authority, line.path) == (authority, path));
        registry.require(!is_duplicate, UnrenderableReason::DuplicateAddress)?;
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
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !text.is_empty() && text.bytes().all(is_token_byte) && !matches!(value, "true" | "false" | "null" | "undefined")
}
