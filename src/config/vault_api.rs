//! `vaultApi`: the Vault-compatible API.

use super::fault_collector::{DAY, FaultCollector, SECOND};
use serde::Deserialize;
use std::time::Duration;

const MAX_MOUNT_BYTES: usize = 64;
/// First path segments that other parts of Vault's API or Claviger's API use.
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

/// The validated section.
#[derive(Debug, Clone)]
pub struct VaultApi {
    /// Whether the API is served.
    pub enabled: bool,
    /// The path segment of the secret engine that clients see.
    pub mount: String,
    /// The maximum `lease_duration` in the response to a login.
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
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<VaultApi> {
        let enabled = faults.require("/vaultApi/enabled", self.enabled);
        let mount = validate_mount(faults, self.mount);
        // A Vault agent logs in again after about two thirds of this time, so a short value would cause a busy loop.
        let max_token_ttl = faults.require_duration("/vaultApi/maxTokenTtl", self.max_token_ttl, SECOND * 10..=DAY);
        Some(VaultApi { enabled: enabled?, mount: mount?, max_token_ttl: max_token_ttl? })
    }
}

fn validate_mount(faults: &mut FaultCollector, value: Option<String>) -> Option<String> {
    const POINTER: &str = "/vaultApi/mount";
    let mount = faults.require_text(POINTER, value)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if mount.len() > MAX_MOUNT_BYTES || !mount.bytes().all(is_allowed) || matches!(mount.as_str(), "." | "..") {
        return faults.record_none(POINTER, "must be one path segment of at most 64 letters, digits and . _ -");
    }
    let is_free = !RESERVED.contains(&mount.as_str());
    faults.valid_or_record(POINTER, mount, is_free, "is a path of Vault's or of Claviger's own API")
}
