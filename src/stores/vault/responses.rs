//! Parses responses: a status and a body become a value or one of the errors. Pure.
//!
//! A secret is absent only if the response is a 404 with an empty list of errors, and without data and warnings. Unknown
//! responses are `Unavailable`.

use super::mounts::{Engine, Mount};
use crate::model::secret::{Secret, SecretValue};
use crate::stores::dynamic_store::GrantedLifetime;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use crate::stores::store_path::{SYSTEM_MOUNTS, StorePath};
use crate::stores::values::{into_secret_value, parse_values};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;

/// Maximum plausible lifetime of a token: ten years. A longer one is invalid.
const MAX_TTL_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// Parses the response to the preflight of a path: its mount.
///
/// # Errors
/// `Misconfigured` if there is no mount, if the broker is not allowed to see it, or if it is one of the server's internal mounts.
pub(super) fn parse_mount(response: &StoreResponse, path: &StorePath) -> Result<Mount, ReadError> {
    #[derive(Deserialize)]
    struct Body {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        path: String,
        r#type: String,
        options: Option<Options>,
    }
    #[derive(Deserialize)]
    struct Options {
        version: Option<String>,
    }
    match response.status {
        200 => {}
        // OpenBao answers 403 for a mount that does not exist, also to root.
        403 => return Err(ReadError::Misconfigured),
        404 => return Err(if is_object(&response.body) { ReadError::Misconfigured } else { ReadError::Unavailable }),
        _ => return Err(ReadError::Unavailable),
    }
    let Body { data } = parse_object(&response.body).ok_or(ReadError::Unavailable)?;
    // A mount that does not contain the path would lead to another secret.
    if !data.path.ends_with('/') || !format!("{}/", path.as_str()).starts_with(&data.path) {
        return Err(ReadError::Unavailable);
    }
    let version = data.options.and_then(|options| options.version);
    match (data.r#type.as_str(), version.as_deref()) {
        ("kv", Some("2")) => Ok(Mount::new(&data.path, Engine::KvV2)),
        ("kv" | "generic", None | Some("1")) => Ok(Mount::new(&data.path, Engine::KvV1)),
        ("" | "kv" | "generic", _) => Err(ReadError::Misconfigured),
        (engine, _) if is_system(engine, &data.path) => Err(ReadError::Misconfigured),
        _ => Ok(Mount::new(&data.path, Engine::Dynamic)),
    }
}

/// Whether a mount is one of the server's internal mounts, which can return the broker's own token. In a child namespace, their
/// engines have other names (`ns_system`), and their paths, also those of auth mounts, begin with the path of the namespace.
fn is_system(engine: &str, mount: &str) -> bool {
    matches!(engine.strip_prefix("ns_").unwrap_or(engine), "system" | "identity" | "cubbyhole" | "token")
        || mount.split('/').any(|segment| SYSTEM_MOUNTS.contains(&segment))
}

/// Parses the response to the read of a static secret.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn parse_secret(response: &StoreResponse, engine: Engine) -> Result<Secret, ReadError> {
    match (response.status, engine) {
        (200, Engine::KvV1) => parse_kv_v1(&response.body),
        (200, Engine::KvV2) => parse_kv_v2(&response.body),
        (403, _) => Err(ReadError::Forbidden),
        (404, _) => Err(parse_not_found(&response.body, engine)),
        // A dynamic secret is not read this way.
        (_, Engine::Dynamic) => Err(ReadError::Misconfigured),
        _ => Err(ReadError::Unavailable),
    }
}

/// The response of an engine with static secrets. If it has a lease, the engine was replaced by a dynamic one, and the secret
/// was created for one caller.
#[derive(Deserialize)]
struct StaticSecretBody<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    lease_id: Option<&'a RawValue>,
}

impl StaticSecretBody<'_> {
    fn is_leased(&self) -> bool {
        self.lease_id.is_some_and(|id| !matches!(id.get(), "null" | r#""""#))
    }
}

/// The ID of the lease that a read has created, because the key-value engine was replaced by a dynamic one since the look-up of
/// its mount. `None` if the response has no lease.
pub(super) fn find_stray_lease(response: &StoreResponse) -> Option<SecretValue> {
    let body = parse_object::<StaticSecretBody<'_>>(&response.body)
        .filter(|body| response.status == 200 && body.is_leased())?;
    unescape(body.lease_id?.get()).ok().map(into_secret_value)
}

fn parse_kv_v1(body: &[u8]) -> Result<Secret, ReadError> {
    let body: StaticSecretBody<'_> = parse_object(body).ok_or(ReadError::Unavailable)?;
    if body.is_leased() {
        return Err(ReadError::Misconfigured);
    }
    let data = parse_values(body.data).map_err(|_| ReadError::Unavailable)?;
    Ok(Secret { data, version: None, created_at: None, stale: false })
}

#[derive(Deserialize)]
struct VersionedData<'a> {
    /// `None` only if the field is missing. `null` is `Some`.
    #[serde(borrow, default, deserialize_with = "some_if_present")]
    data: Option<&'a RawValue>,
    metadata: Option<Metadata>,
}

impl VersionedData<'_> {
    fn exists(&self) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| {
            let is_kept = metadata.destroyed == Some(false) && metadata.deletion_time.as_deref() == Some("");
            is_kept && metadata.version.is_some()
        })
    }

    fn is_deleted_or_destroyed(&self) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| {
            metadata.destroyed == Some(true) || metadata.deletion_time.as_ref().is_some_and(|time| !time.is_empty())
        })
    }
}

fn some_if_present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Metadata {
    version: Option<u64>,
    created_time: Option<String>,
    deletion_time: Option<String>,
    destroyed: Option<bool>,
}

fn parse_kv_v2(body: &[u8]) -> Result<Secret, ReadError> {
    let body: StaticSecretBody<'_> = parse_object(body).ok_or(ReadError::Unavailable)?;
    if body.is_leased() {
        return Err(ReadError::Misconfigured);
    }
    let secret: VersionedData<'_> = parse_object(body.data.get().as_bytes()).ok_or(ReadError::Unavailable)?;
    let version = secret.metadata.as_ref().and_then(|metadata| metadata.version);
    let created_at = secret.metadata.as_ref().and_then(|metadata| metadata.created_time.as_deref()?.parse().ok());
    let data = match secret.data.ok_or(ReadError::Unavailable)? {
        // A version that was written as `null` instead of an object. The secret exists and has no keys: its metadata says that
        // it is neither deleted nor destroyed.
        null if null.get() == "null" && secret.exists() => BTreeMap::new(),
        data => parse_values(data).map_err(|_| ReadError::Unavailable)?,
    };
    Ok(Secret { data, version: version.map(|version| version.to_string()), created_at, stale: false })
}

/// The error for a 404. `{"errors":[]}` means that the secret does not exist. If the mount, route or namespace does not exist,
/// `errors` has an entry; if the path does not fit the engine, there is a warning. A body that is not JSON is not from Vault.
pub(super) fn parse_not_found(body: &[u8], engine: Engine) -> ReadError {
    #[derive(Deserialize)]
    struct Body<'a> {
        errors: Option<Vec<IgnoredAny>>,
        warnings: Option<Vec<IgnoredAny>>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let Some(body) = parse_object::<Body<'_>>(body) else { return ReadError::Unavailable };
    let data = body.data.filter(|data| data.get() != "null");
    let has_warnings = body.warnings.is_some_and(|warnings| !warnings.is_empty());
    match (body.errors, data) {
        (Some(errors), None) if errors.is_empty() && !has_warnings => ReadError::Absent,
        (None, Some(data)) if engine == Engine::KvV2 && is_deleted(data) => ReadError::Deleted,
        _ => ReadError::Misconfigured,
    }
}

fn is_deleted(data: &RawValue) -> bool {
    let Some(secret) = parse_object::<VersionedData<'_>>(data.get().as_bytes()) else { return false };
    secret.is_deleted_or_destroyed() && secret.data.is_none_or(|data| data.get() == "null")
}

/// The token that a login has granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GrantedToken {
    pub(super) token: SecretValue,
    pub(super) grant: GrantedLifetime,
    /// Number of calls that the token can be used for (`num_uses`). `None` if unlimited.
    pub(super) uses: Option<u32>,
}

/// Parses the response to a login.
///
/// # Errors
/// `Forbidden` if the credentials are refused, `Misconfigured` if the mount or role does not exist, or if a second
/// factor is required.
pub(super) fn parse_login(response: &StoreResponse) -> Result<GrantedToken, ReadError> {
    match response.status {
        200 => {}
        // An unknown role gets 400, and so does a wrong secret ID.
        400 | 404 => return Err(ReadError::Misconfigured),
        403 => return Err(ReadError::Forbidden),
        _ => return Err(ReadError::Unavailable),
    }
    let auth = parse_auth(&response.body).ok_or(ReadError::Unavailable)?;
    if auth.mfa_requirement.is_some_and(|requirement| requirement.get() != "null") {
        return Err(ReadError::Misconfigured);
    }
    let token = into_secret_value(unescape(auth.client_token.get()).map_err(|_| ReadError::Unavailable)?);
    let grant = auth.grant().ok_or(ReadError::Unavailable)?;
    Ok(GrantedToken { token, grant, uses: auth.num_uses.filter(|uses| *uses > 0) })
}

/// Parses the response to a renewal of the broker's own token.
///
/// # Errors
/// `Forbidden` if the broker is not allowed to renew the token, or if it is not valid any more.
pub(super) fn parse_renewal(response: &StoreResponse) -> Result<GrantedLifetime, ReadError> {
    match response.status {
        200 => parse_auth(&response.body).and_then(|auth| auth.grant()).ok_or(ReadError::Unavailable),
        400 | 403 => Err(ReadError::Forbidden),
        404 => Err(ReadError::Misconfigured),
        _ => Err(ReadError::Unavailable),
    }
}

/// Parses the response to a token's look-up of itself. `None` for a token that never expires.
///
/// # Errors
/// `Forbidden` if the token is not valid any more, or is not allowed to look itself up.
pub(super) fn parse_token_lookup(response: &StoreResponse) -> Result<Option<GrantedLifetime>, ReadError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        ttl: &'a RawValue,
        #[serde(borrow)]
        expire_time: Option<&'a RawValue>,
        renewable: Option<bool>,
    }
    match response.status {
        200 => {}
        403 => return Err(ReadError::Forbidden),
        404 => return Err(ReadError::Misconfigured),
        _ => return Err(ReadError::Unavailable),
    }
    let Body { data } = parse_object(&response.body).ok_or(ReadError::Unavailable)?;
    let never_expires = data.expire_time.is_none_or(|time| time.get() == "null");
    match (data.ttl.get(), never_expires) {
        ("0", true) => Ok(None),
        // The token is in its last second.
        ("0", false) => {
            Ok(Some(GrantedLifetime { ttl: Duration::from_secs(1), renewable: data.renewable == Some(true) }))
        }
        (text, _) => {
            let ttl = parse_ttl(text).ok_or(ReadError::Unavailable)?;
            Ok(Some(GrantedLifetime { ttl, renewable: data.renewable == Some(true) }))
        }
    }
}

#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow)]
    client_token: &'a RawValue,
    #[serde(borrow)]
    lease_duration: &'a RawValue,
    renewable: Option<bool>,
    num_uses: Option<u32>,
    #[serde(borrow)]
    mfa_requirement: Option<&'a RawValue>,
}

impl Auth<'_> {
    fn grant(&self) -> Option<GrantedLifetime> {
        Some(GrantedLifetime { ttl: parse_ttl(self.lease_duration.get())?, renewable: self.renewable == Some(true) })
    }
}

fn parse_auth(body: &[u8]) -> Option<Auth<'_>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        auth: Auth<'a>,
    }
    parse_object::<Body<'_>>(body).map(|body| body.auth)
}

/// Parses a positive number of seconds. `None` for any other text, which never means "never expires".
pub(super) fn parse_ttl(text: &str) -> Option<Duration> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=MAX_TTL_SECONDS).contains(seconds))?;
    Some(Duration::from_secs(seconds))
}

fn is_object(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Anything {}
    parse_object::<Anything>(json).is_some()
}

#[cfg(test)]
mod tests;
