//! Azure Key Vault and Google Secret Manager, with stubs that answer as documented.

mod azure;
mod drongo;
mod faults;
mod google;
mod live;

use super::StoreRig;
pub(super) use live::Live;

use crate::rig::clouds::azure::{Azure, CLIENT, SCOPE, TENANT};
use crate::rig::clouds::google::{Google, PROJECT, PROVIDER};
use claviger::config::azure_key_vault::{AzureAuth, AzureKeyVault, ExpiredSecrets};
use claviger::config::cache::Cache;
use claviger::config::gcp_secret_manager::{GcpAuth, GcpSecretManager};
use claviger::config::stores::Kind;
use claviger::config::value_format::ValueFormat;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// The ServiceAccount token that the stubs accept.
pub(super) const TOKEN: &str = "header.claims.signature";

/// Long enough for a stub of this process on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes a token into a file of a folder. Returns the path.
fn token_file(dir: &TempDir, token: &str) -> PathBuf {
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    file
}

/// A store that logs in by its ServiceAccount token.
pub(super) fn azure(stub: &Azure, cache: Cache, change: impl FnOnce(&mut AzureKeyVault)) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    let token_file = token_file(&dir, TOKEN);
    let auth = AzureAuth::WorkloadIdentity { tenant_id: TENANT.into(), client_id: CLIENT.into(), token_file };
    azure_as(stub, dir, auth, cache, change)
}

fn azure_as(
    stub: &Azure,
    dir: TempDir,
    auth: AzureAuth,
    cache: Cache,
    change: impl FnOnce(&mut AzureKeyVault),
) -> StoreRig {
    let mut config = AzureKeyVault {
        vault_url: stub.address().to_owned(),
        authority_url: stub.address().to_owned(),
        scope: SCOPE.into(),
        ca_file: Some(stub.ca_file()),
        proxy_url: None,
        auth,
        values: ValueFormat::Object,
        expired: ExpiredSecrets::Refuse,
        timeout: TIMEOUT,
        cache,
    };
    change(&mut config);
    StoreRig::of("azure", dir, Kind::AzureKeyVault(config))
}

/// A store that exchanges its ServiceAccount token.
pub(super) fn google(stub: &Google, cache: Cache, change: impl FnOnce(&mut GcpSecretManager)) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    let auth = federation(stub, token_file(&dir, TOKEN), None);
    google_as(stub, dir, auth, cache, change)
}

fn federation(stub: &Google, token_file: PathBuf, service_account: Option<&str>) -> GcpAuth {
    GcpAuth::WorkloadIdentityFederation {
        provider: PROVIDER.into(),
        token_file,
        service_account: service_account.map(Into::into),
        sts_url: stub.address().to_owned(),
        iam_credentials_url: stub.address().to_owned(),
    }
}

fn google_as(
    stub: &Google,
    dir: TempDir,
    auth: GcpAuth,
    cache: Cache,
    change: impl FnOnce(&mut GcpSecretManager),
) -> StoreRig {
    let mut config = GcpSecretManager {
        project: PROJECT.into(),
        location: None,
        endpoint_url: stub.address().to_owned(),
        ca_file: Some(stub.ca_file()),
        proxy_url: None,
        auth,
        values: ValueFormat::Object,
        timeout: TIMEOUT,
        cache,
    };
    change(&mut config);
    StoreRig::of("gcp", dir, Kind::GcpSecretManager(config))
}

/// Caches answers for a minute, and serves them stale for another one.
const MINUTE: Cache = Cache {
    ttl: Duration::from_mins(1),
    negative_ttl: Duration::from_mins(1),
    serve_stale_for: Duration::from_mins(1),
    max_entries: 100,
};
