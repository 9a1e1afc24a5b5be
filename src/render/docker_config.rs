//! `{"auths":{"REGISTRY":{"auth":"..."}}}`, the `config.json` of Docker, Buildah and Kaniko, from one of two
//! sources:
//!
//! - `REGISTRY`, `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`; with several registries, the same keys with prefixes.
//!   The entry of a registry is named by its host, with the port if there is one (`r.example:5000`), or by host
//!   and path for a part of the registry (`r.example/team`). Without a scheme, a trailing slash is removed, because
//!   skopeo and Buildah would not find the entry. With a scheme, the address is written unchanged; readers then use
//!   only its host and ignore the path;
//! - a single key, `DOCKER_AUTH_CONFIG` or `.dockerconfigjson`, that holds such a file. The file is checked and
//!   returned unchanged. It may have only the member `auths`: `credHelpers`, `cliPluginsExtraDirs` or
//!   `proxies` name programs to run and hosts to contact, and anyone who may write to the store could set them.
//!
//! Docker Hub has three keys. Docker, BuildKit and Kaniko look for `https://index.docker.io/v1/`, skopeo and Buildah for
//! `docker.io` or `index.docker.io`, other readers for only one of these last two. If `REGISTRY` is any address of Docker
//! Hub, all three entries are written; for a part of it (`docker.io/team`) the last two.
//!
//! An empty bundle is rendered as zero bytes. Check with `[ -s file ]` first: Buildah rejects an empty file.
//!
//! A user name with a colon, a password with NUL, and an empty user name or password are refused, because readers cut, drop or
//! refuse them.

use super::credentials::group_credentials;
use super::port::{Emit, UnrenderableKey, UnrenderableReason};
use super::registry_address::Address;
use crate::model::bundle::Bundle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// The keys that hold a complete file.
const CONFIG_KEYS: [&str; 2] = ["DOCKER_AUTH_CONFIG", ".dockerconfigjson"];

/// The content of the rendered file.
pub(super) enum Config<'a> {
    /// A complete file from the store.
    Complete(&'a str),
    /// The credentials of registries: the keys of their entries in `auths`, and the base64 of user and password.
    Auths(Vec<(Vec<AuthsKey<'a>>, Zeroizing<String>)>),
}

/// The key of an entry of `auths`: a host with an optional path, or a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AuthsKey<'a> {
    /// A host, with the port if there is one, or a complete URL; then `path` is empty.
    base: &'a str,
    path: &'a str,
}

const DOCKER_HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A value that is equal for two addresses if readers find the same registry under both. Readers ignore the path after a scheme,
/// and the hosts of Docker Hub are one registry. `text` is the address as it was written.
fn registry_identity<'a>(text: &str, address: &Address<'a>) -> AuthsKey<'a> {
    let is_hub = DOCKER_HUB_HOSTS.contains(&address.authority);
    let base = if is_hub { DOCKER_HUB_HOSTS[0] } else { address.authority };
    AuthsKey { base, path: if has_scheme(text) || is_hub && means_whole_hub(address.path) { "" } else { address.path } }
}

/// Whether a path on Docker Hub means the whole registry: it is empty or the path of the API, as in `index.docker.io/v1/`.
fn means_whole_hub(path: &str) -> bool {
    matches!(path.trim_matches('/'), "" | "v1" | "v2")
}

fn has_scheme(text: &str) -> bool {
    text.contains("://")
}

/// The keys under which readers look for a registry.
fn auths_keys<'a>(text: &'a str, address: &Address<'a>) -> Vec<AuthsKey<'a>> {
    let is_hub = DOCKER_HUB_HOSTS.contains(&address.authority);
    if is_hub && (has_scheme(text) || means_whole_hub(address.path)) {
        [DOCKER_HUB_HOSTS[0], DOCKER_HUB_HOSTS[1], "https://index.docker.io/v1/"]
            .map(|base| AuthsKey { base, path: "" })
            .into()
    } else if is_hub {
        [DOCKER_HUB_HOSTS[0], DOCKER_HUB_HOSTS[1]].map(|base| AuthsKey { base, path: address.path }).into()
    } else if has_scheme(text) {
        vec![AuthsKey { base: text, path: "" }]
    } else {
        vec![AuthsKey { base: address.authority, path: address.path }]
    }
}

/// Builds the content of the file. See [`group_credentials`] and [`UnrenderableReason`] for the errors.
pub(super) fn prepare(bundle: &Bundle) -> Result<Config<'_>, UnrenderableKey> {
    if let Some(config_key) = CONFIG_KEYS.iter().find(|name| bundle.entries.contains_key(**name)) {
        return check_complete_config(bundle, config_key);
    }
    let (mut auths, mut registries) = (Vec::new(), BTreeSet::new());
    for [registry, user, password] in group_credentials(bundle, ["REGISTRY", "REGISTRY_USERNAME", "REGISTRY_PASSWORD"])?
    {
        let address =
            Address::parse(registry.value()).ok_or_else(|| registry.error(UnrenderableReason::NotAnAddress))?;
        registry.require(
            registries.insert(registry_identity(registry.value(), &address)),
            UnrenderableReason::DuplicateAddress,
        )?;
        let name = user.value();
        user.require(!name.is_empty() && !name.contains([':', '\0']), UnrenderableReason::ReadersDisagree)?;
        let secret = password.value();
        password.require(!secret.is_empty() && !secret.contains('\0'), UnrenderableReason::ReadersDisagree)?;
        // Allocated with its final size, because a growing buffer would leave copies behind.
        let mut pair = Zeroizing::new(String::with_capacity(name.len() + 1 + secret.len()));
        pair.push_str(name);
        pair.push(':');
        pair.push_str(secret);
        auths.push((auths_keys(registry.value(), &address), Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
    }
    Ok(Config::Auths(auths))
}

#[expect(clippy::disallowed_methods, reason = "the value is checked and rendered")]
fn check_complete_config<'a>(bundle: &'a Bundle, config_key: &str) -> Result<Config<'a>, UnrenderableKey> {
    let mut file = "";
    for (name, entry) in &bundle.entries {
        let error = |reason| UnrenderableKey { key: name.clone(), reason };
        if name != config_key {
            return Err(error(UnrenderableReason::NotACredentialKey));
        }
        file = entry.value.expose_secret();
        if !has_only_auths(file) {
            return Err(error(UnrenderableReason::NotAConfigJson));
        }
    }
    Ok(Config::Complete(file))
}

/// The accepted members of a `config.json`.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Member {
    Auths,
}

/// Maps instead of structs, because serde accepts a JSON list for a struct. The values of an entry are borrowed, so that no copy of
/// a secret is left.
type Auths<'a> = BTreeMap<String, BTreeMap<String, &'a RawValue>>;

fn has_only_auths(file: &str) -> bool {
    let parsed: Result<BTreeMap<Member, Auths<'_>>, _> = serde_json::from_str(file);
    let is_text = |value: &&RawValue| value.get().starts_with('"');
    parsed.is_ok_and(|members| members.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values).all(is_text))
}

pub(super) fn write(config: &Config<'_>, emit: Emit<'_>) {
    match config {
        Config::Complete(file) => emit(file.as_bytes()),
        // Nothing for an empty bundle, so that `[ -s file ]` detects it.
        Config::Auths(auths) if auths.is_empty() => {}
        Config::Auths(auths) => {
            let entries = auths.iter().flat_map(|(keys, auth)| keys.iter().map(move |key| (key, auth)));
            for (index, (key, auth)) in entries.enumerate() {
                emit(if index == 0 { br#"{"auths":{""# } else { br#",""# });
                // Addresses and base64 contain nothing that JSON escapes.
                emit(key.base.as_bytes());
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
