//! `vaultApi`: the Vault-compatible API.

use super::check::{Check, DAY, SECOND};
use serde::Deserialize;
use std::time::Duration;

const MAX_MOUNT_BYTES: usize = 64;
/// First path segments that are used by other parts of Vault's API or by Claviger's own.
const RESERVED: [&str; 13] = [
    "audit",
    "auth",
    "cubbyhole",
    "decisions",
    "downloads",
    "identity",
    "inventory",
    "leases",
    "policies",
    "secrets",
    "sys",
    "tickets",
    "v1",
];

/// The checked section.
#[derive(Debug, Clone)]
pub struct VaultApi {
    /// Whether the API is served.
    pub enabled: bool,
    /// The path segment of the secret engine that clients see.
    pub mount: String,
    /// The upper bound of `lease_duration` in the answer to a login.
    pub max_token_ttl: Duration,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawVaultApi {
    enabled: Option<bool>,
    mount: Option<String>,
    max_token_ttl: Option<String>,
}

impl RawVaultApi {
    pub(super) fn check(self, check: &mut Check) -> Option<VaultApi> {
        let enabled = check.required("/vaultApi/enabled", self.enabled);
        let mount = mount(check, self.mount);
        // An agent logs in again after about two thirds of this time, so a short value would cause a busy loop.
        let max_token_ttl = check.duration("/vaultApi/maxTokenTtl", self.max_token_ttl, SECOND * 10..=DAY);
        Some(VaultApi { enabled: enabled?, mount: mount?, max_token_ttl: max_token_ttl? })
    }
}

fn mount(check: &mut Check, value: Option<String>) -> Option<String> {
    const AT: &str = "/vaultApi/mount";
    let mount = check.text(AT, value)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if mount.len() > MAX_MOUNT_BYTES || !mount.bytes().all(plain) || matches!(mount.as_str(), "." | "..") {
        check.fault(AT, "must be one path segment of at most 64 letters, digits and . _ -");
        return None;
    }
    if RESERVED.contains(&mount.as_str()) {
        check.fault(AT, "is a path of Vault's or of Claviger's own API");
        return None;
    }
    Some(mount)
}
