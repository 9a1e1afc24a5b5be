//! The paths below `sys/`: the mount (clients look it up before a read), health, and seal status.

use super::headers;
use super::refusal::Refusal;
use super::responses::json;
use super::vault_request::VaultRequest;
use crate::wire::problem::Code;
use crate::wire::shell_safe_json;
use crate::wire::vault::{
    VaultAnswer, VaultHealth, VaultMount, VaultMountConfig, VaultMountOptions, VaultMounted, VaultSealStatus,
};
use axum::response::Response;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const CLUSTER: &str = "claviger";
/// Clients expect UUIDs here, but do not compare them.
const MOUNT_ID: &str = "00000000-0000-0000-0000-000000000001";
const CLUSTER_ID: &str = "00000000-0000-0000-0000-000000000002";

/// Returns the mount, by which clients learn that it is KV version 2.
#[utoipa::path(
    get,
    path = "/v1/sys/internal/ui/mounts/{path}",
    operation_id = "vaultMount",
    tag = "vault",
    params(("path" = String, Path, description = "The mount, and anything below it", pattern = "^claviger$")),
    responses((status = 200, description = "The mount", body = inline(VaultMounted)))
)]
pub(super) async fn mount(request: VaultRequest<'_>) -> Result<Response, Refusal> {
    request.authenticate(headers::token(&request.parts.headers).as_ref()).await?;
    let mount = &request.api.mount;
    let data = VaultMount {
        accessor: format!("kv_{mount}"),
        config: VaultMountConfig { default_lease_ttl: 0, force_no_cache: false, max_lease_ttl: 0 },
        deprecation_status: "supported",
        description: "build-time secrets",
        external_entropy_access: false,
        local: false,
        options: VaultMountOptions { version: "2" },
        path: format!("{mount}/"),
        plugin_version: "",
        running_plugin_version: VERSION,
        running_sha256: "",
        seal_wrap: false,
        kind: "kv",
        uuid: MOUNT_ID,
    };
    let body = VaultAnswer::with_data(request.request_id(), data);
    Ok(json(shell_safe_json::to_string(&body).map_err(|_| Code::Internal)?))
}

/// Returns 200 while requests are served. The query is ignored.
#[utoipa::path(
    method(get, head),
    path = "/v1/sys/health",
    operation_id = "vaultHealth",
    tag = "vault",
    security(()),
    responses((status = 200, description = "Requests are served", body = VaultHealth))
)]
pub(super) fn health(request: &VaultRequest<'_>) -> Result<Response, Refusal> {
    if let Some(code) = request.state.broker.not_ready_reason() {
        return Err(code.into());
    }
    let health = VaultHealth {
        initialized: true,
        sealed: false,
        standby: false,
        performance_standby: false,
        replication_performance_mode: "disabled",
        replication_dr_mode: "disabled",
        server_time_utc: request.state.broker.now().as_second(),
        version: VERSION,
        cluster_name: CLUSTER,
        cluster_id: CLUSTER_ID,
    };
    Ok(json(shell_safe_json::to_string(&health).map_err(|_| Code::Internal)?))
}

/// Returns the status of a Vault that is unsealed.
#[utoipa::path(
    get,
    path = "/v1/sys/seal-status",
    operation_id = "vaultSealStatus",
    tag = "vault",
    security(()),
    responses((status = 200, description = "Unsealed", body = VaultSealStatus))
)]
pub(super) fn seal_status() -> Result<Response, Refusal> {
    let status = VaultSealStatus {
        kind: "shamir",
        initialized: true,
        sealed: false,
        t: 1,
        n: 1,
        progress: 0,
        nonce: "",
        recovery_seal: false,
        version: VERSION,
        build_date: "",
        migration: false,
        cluster_name: CLUSTER,
        cluster_id: CLUSTER_ID,
        storage_type: "claviger",
    };
    Ok(json(shell_safe_json::to_string(&status).map_err(|_| Code::Internal)?))
}
