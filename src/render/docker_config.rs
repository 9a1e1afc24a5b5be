//! `{"auths":{"REGISTRY":{"auth":"..."}}}`, the `config.json` of Docker, Buildah and Kaniko, in one of two ways:
//!
//! - from `REGISTRY`, `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, and the same with prefixes for several registries.
//!   The registry is written as the tool that reads the file looks it up, which for most is the host (and port);
//! - from one key alone, `DOCKER_AUTH_CONFIG` or `.dockerconfigjson`, that holds such a file as it is. It is looked
//!   through and handed over unchanged. It may have `auths` and nothing else: a `credHelpers`, `cliPluginsExtraDirs` or
//!   `proxies` names programs to run and hosts to ask, and secrets are named by whoever may write to the store.
//!
//! An empty bundle is zero bytes: ask `[ -s file ]` first, as Buildah takes an empty file for a broken one.
//!
//! Readers take a colon in a user name for its end, drop NULs around a password, and refuse an empty one: so do we.

use super::address::Address;
use super::credentials::gather;
use super::{Emit, Reason, Unrenderable};
use crate::model::bundle::Bundle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const READY: [&str; 2] = ["DOCKER_AUTH_CONFIG", ".dockerconfigjson"];

/// What is to be written.
pub(super) enum Config<'a> {
    /// A file that stood in the store.
    Ready(&'a str),
    /// Registries, each with the base64 of its user and password.
    Auths(Vec<(&'a str, Zeroizing<String>)>),
}

pub(super) fn check(bundle: &Bundle) -> Result<Config<'_>, Unrenderable> {
    if let Some(ready) = READY.iter().find(|name| bundle.entries.contains_key(**name)) {
        return check_ready(bundle, ready);
    }
    let mut auths = Vec::new();
    for [registry, user, password] in gather(bundle, ["REGISTRY", "REGISTRY_USERNAME", "REGISTRY_PASSWORD"])? {
        registry.must(Address::of(registry.value()).is_some(), Reason::NotAnAddress)?;
        let name = user.value();
        user.must(!name.is_empty() && !name.contains([':', '\0']), Reason::ReadersDisagree)?;
        let secret = password.value();
        password.must(!secret.is_empty() && !secret.contains('\0'), Reason::ReadersDisagree)?;
        // Of the right size from the start: a buffer that grew would leave copies behind.
        let mut pair = Zeroizing::new(String::with_capacity(name.len() + 1 + secret.len()));
        pair.push_str(name);
        pair.push(':');
        pair.push_str(secret);
        auths.push((registry.value(), Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
    }
    Ok(Config::Auths(auths))
}

#[expect(clippy::disallowed_methods, reason = "the value is looked through and handed over")]
fn check_ready<'a>(bundle: &'a Bundle, ready: &str) -> Result<Config<'a>, Unrenderable> {
    let mut file = "";
    for (name, entry) in &bundle.entries {
        let refuse = |reason| Unrenderable { key: name.clone(), reason };
        if name != ready {
            return Err(refuse(Reason::NoPartOfACredential));
        }
        file = entry.value.expose_secret();
        if !has_only_auths(file) {
            return Err(refuse(Reason::NotAConfigJson));
        }
    }
    Ok(Config::Ready(file))
}

/// The members of a `config.json` that are handed over.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Member {
    Auths,
}

/// Maps and not structs, for which serde would take lists too; the values in an entry are borrowed, never copied.
type Auths<'a> = BTreeMap<String, BTreeMap<String, &'a RawValue>>;

fn has_only_auths(file: &str) -> bool {
    let read: Result<BTreeMap<Member, Auths<'_>>, _> = serde_json::from_str(file);
    let is_text = |value: &&RawValue| value.get().starts_with('"');
    read.is_ok_and(|members| members.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values).all(is_text))
}

pub(super) fn write(config: &Config<'_>, emit: Emit<'_>) {
    match config {
        Config::Ready(file) => emit(file.as_bytes()),
        // An empty bundle is zero bytes, so that `[ -s file ]` tells.
        Config::Auths(auths) if auths.is_empty() => {}
        Config::Auths(auths) => {
            for (index, (registry, auth)) in auths.iter().enumerate() {
                emit(if index == 0 { br#"{"auths":{""# } else { br#",""# });
                // Neither an address nor base64 has anything that JSON would escape.
                emit(registry.as_bytes());
                emit(br#"":{"auth":""#);
                emit(auth.as_bytes());
                emit(br#""}"#);
            }
            emit(b"}}");
        }
    }
}
