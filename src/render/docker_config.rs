//! `{"auths":{"REGISTRY":{"auth":"..."}}}`, the `config.json` of Docker, Buildah and Kaniko, in one of two ways:
//!
//! - from `REGISTRY`, `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, and the same with prefixes for several registries.
//!   The key of a registry is its host, with its port if it has one (`r.example:5000`), or host and path for one part of
//!   it (`r.example/team`). A slash at the end is dropped: skopeo and Buildah do not find a key that has one and no
//!   scheme. A key with a scheme is written as it is, and readers take its host alone: a scheme loses the path;
//! - from one key alone, `DOCKER_AUTH_CONFIG` or `.dockerconfigjson`, that holds such a file as it is. It is looked
//!   through and handed over unchanged. It may have `auths` and nothing else: a `credHelpers`, `cliPluginsExtraDirs` or
//!   `proxies` names programs to run and hosts to ask, and secrets are named by whoever may write to the store.
//!
//! Docker Hub has several names. Docker, BuildKit and Kaniko look for `https://index.docker.io/v1/`, skopeo and Buildah
//! take `docker.io` and `index.docker.io` for the same, and others know one of the three. So one of them in `REGISTRY`
//! writes all three.
//!
//! An empty bundle is zero bytes: ask `[ -s file ]` first, as Buildah takes an empty file for a broken one.
//!
//! Readers take a colon in a user name for its end, drop NULs around a password, and refuse an empty one: so do we.

use super::address::Address;
use super::credentials::gather;
use super::port::{Emit, Reason, Unrenderable};
use crate::model::bundle::Bundle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

const READY: [&str; 2] = ["DOCKER_AUTH_CONFIG", ".dockerconfigjson"];

/// What is to be written.
pub(super) enum Config<'a> {
    /// A file that stood in the store.
    Ready(&'a str),
    /// Registries: their keys, and the base64 of user and password.
    Auths(Vec<(Vec<Key<'a>>, Zeroizing<String>)>),
}

/// A key of `auths`: a host or a URL, and behind a slash a path where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    host: &'a str,
    path: &'a str,
}

const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What readers take an address for: with a scheme they see the host alone, and the names of Docker Hub are one.
fn place<'a>(text: &str, address: &Address<'a>) -> Key<'a> {
    let is_hub = HUB.contains(&address.authority);
    let host = if is_hub { HUB[0] } else { address.authority };
    Key { host, path: if has_scheme(text) || is_hub && is_api(address.path) { "" } else { address.path } }
}

/// Whether a path of Docker Hub is that of its API, as in `index.docker.io/v1/`: the whole registry.
fn is_api(path: &str) -> bool {
    matches!(path.trim_matches('/'), "" | "v1" | "v2")
}

fn has_scheme(text: &str) -> bool {
    text.contains("://")
}

/// Under which keys readers look for a registry.
fn keys<'a>(text: &'a str, address: &Address<'a>) -> Vec<Key<'a>> {
    let is_hub = HUB.contains(&address.authority);
    if is_hub && (has_scheme(text) || is_api(address.path)) {
        [HUB[0], HUB[1], "https://index.docker.io/v1/"].map(|host| Key { host, path: "" }).into()
    } else if is_hub {
        [HUB[0], HUB[1]].map(|host| Key { host, path: address.path }).into()
    } else if has_scheme(text) {
        vec![Key { host: text, path: "" }]
    } else {
        vec![Key { host: address.authority, path: address.path }]
    }
}

pub(super) fn check(bundle: &Bundle) -> Result<Config<'_>, Unrenderable> {
    if let Some(ready) = READY.iter().find(|name| bundle.entries.contains_key(**name)) {
        return check_ready(bundle, ready);
    }
    let (mut auths, mut places) = (Vec::new(), BTreeSet::new());
    for [registry, user, password] in gather(bundle, ["REGISTRY", "REGISTRY_USERNAME", "REGISTRY_PASSWORD"])? {
        let address = Address::of(registry.value()).ok_or_else(|| registry.refused(Reason::NotAnAddress))?;
        registry.must(places.insert(place(registry.value(), &address)), Reason::SamePlaceTwice)?;
        let name = user.value();
        user.must(!name.is_empty() && !name.contains([':', '\0']), Reason::ReadersDisagree)?;
        let secret = password.value();
        password.must(!secret.is_empty() && !secret.contains('\0'), Reason::ReadersDisagree)?;
        // Of the right size from the start: a buffer that grew would leave copies behind.
        let mut pair = Zeroizing::new(String::with_capacity(name.len() + 1 + secret.len()));
        pair.push_str(name);
        pair.push(':');
        pair.push_str(secret);
        auths.push((keys(registry.value(), &address), Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
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
            let each = auths.iter().flat_map(|(keys, auth)| keys.iter().map(move |key| (key, auth)));
            for (index, (key, auth)) in each.enumerate() {
                emit(if index == 0 { br#"{"auths":{""# } else { br#",""# });
                // Neither an address nor base64 has anything that JSON would escape.
                emit(key.host.as_bytes());
                if !key.path.is_empty() {
                    emit(b"/");
                    emit(key.path.as_bytes());
                }
                emit(br#"":{"auth":""#);
                emit(auth.as_bytes());
                emit(br#""}"#);
            }
            emit(b"}}");
        }
    }
}
