//! `{"auths":{"REGISTRY":{"auth":"..."}}}`, the `config.json` of Docker, Buildah and Kaniko, from one of two
//! sources:
//!
//! - `REGISTRY`, `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, and the same with prefixes for several registries.
//!   The entry of a registry is named by its host, with the port if there is one (`r.example:5000`), or by host
//!   and path for a part of the registry (`r.example/team`). A trailing slash is removed: skopeo and Buildah do
//!   not find an entry with a trailing slash and no scheme. An address with a scheme is written unchanged; readers
//!   then use only its host and ignore the path;
//! - a single key, `DOCKER_AUTH_CONFIG` or `.dockerconfigjson`, that holds such a file. The file is checked and
//!   returned unchanged. It may have `auths` and no other member: `credHelpers`, `cliPluginsExtraDirs` or
//!   `proxies` name programs to run and hosts to contact, and anyone who may write to the store could set them.
//!
//! Docker Hub has several names. Docker, BuildKit and Kaniko look for `https://index.docker.io/v1/`, skopeo and
//! Buildah treat `docker.io` and `index.docker.io` as the same, and other readers know only one of the three.
//! Therefore any of them in `REGISTRY` writes all three.
//!
//! An empty bundle is zero bytes. Check with `[ -s file ]` first: Buildah rejects an empty file.
//!
//! Readers end a user name at a colon, drop NULs around a password, and refuse an empty password; so these values
//! are refused here.

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

/// The content of the file.
pub(super) enum Config<'a> {
    /// A complete file from the store.
    Ready(&'a str),
    /// Registries: the names of their entries, and the base64 of user and password.
    Auths(Vec<(Vec<Key<'a>>, Zeroizing<String>)>),
}

/// The name of an entry of `auths`: a host or a URL, with an optional path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    host: &'a str,
    path: &'a str,
}

const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// The registry that readers understand by an address: with a scheme only the host counts, and all names of Docker
/// Hub are equal.
fn place<'a>(text: &str, address: &Address<'a>) -> Key<'a> {
    let is_hub = HUB.contains(&address.authority);
    let host = if is_hub { HUB[0] } else { address.authority };
    Key { host, path: if has_scheme(text) || is_hub && is_api(address.path) { "" } else { address.path } }
}

/// Whether a path on Docker Hub is the API path, as in `index.docker.io/v1/`; it stands for the whole registry.
fn is_api(path: &str) -> bool {
    matches!(path.trim_matches('/'), "" | "v1" | "v2")
}

fn has_scheme(text: &str) -> bool {
    text.contains("://")
}

/// The entry names under which readers look for a registry.
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
        // Allocated with its final size: a growing buffer would leave copies behind.
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

/// The accepted members of a `config.json`.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Member {
    Auths,
}

/// Maps instead of structs, because serde accepts lists for structs. The values of an entry are borrowed, not
/// copied.
type Auths<'a> = BTreeMap<String, BTreeMap<String, &'a RawValue>>;

fn has_only_auths(file: &str) -> bool {
    let read: Result<BTreeMap<Member, Auths<'_>>, _> = serde_json::from_str(file);
    let is_text = |value: &&RawValue| value.get().starts_with('"');
    read.is_ok_and(|members| members.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values).all(is_text))
}

pub(super) fn write(config: &Config<'_>, emit: Emit<'_>) {
    match config {
        Config::Ready(file) => emit(file.as_bytes()),
        // An empty bundle is zero bytes, so that `[ -s file ]` detects it.
        Config::Auths(auths) if auths.is_empty() => {}
        Config::Auths(auths) => {
            let each = auths.iter().flat_map(|(keys, auth)| keys.iter().map(move |key| (key, auth)));
            for (index, (key, auth)) in each.enumerate() {
                emit(if index == 0 { br#"{"auths":{""# } else { br#",""# });
                // Addresses and base64 contain nothing that JSON escapes.
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
