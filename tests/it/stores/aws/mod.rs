//! AWS Secrets Manager: moto's server where possible, a small fake for other faults.

mod credentials;
mod faults;
mod read;

use super::StoreRig;
use crate::rig::moto::{Keys, Moto, REGION};
use claviger::config::aws_secrets_manager::{AwsAuth, AwsSecretsManager};
use claviger::config::cache::Cache;
use claviger::config::stores::Kind;
use std::time::Duration;
use tempfile::TempDir;

/// The broker's user.
const USER: &str = "claviger";

/// A store with the keys of a user with all permissions on secrets.
pub(super) async fn with_keys(moto: &Moto, cache: Cache) -> StoreRig {
    let keys = moto.user(USER).await;
    with_access_keys(&moto.address, &keys, cache, |_| {})
}

/// A store with these keys.
fn with_access_keys(address: &str, keys: &Keys, cache: Cache, change: impl FnOnce(&mut AwsSecretsManager)) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    keys.write_into(dir.path());
    let file = |name: &str| dir.path().join(name);
    let auth = AwsAuth::StaticKeys {
        access_key_id_file: file("access-key-id"),
        secret_access_key_file: file("secret-access-key"),
    };
    open(dir, address, auth, cache, change)
}

fn open(
    dir: TempDir,
    address: &str,
    auth: AwsAuth,
    cache: Cache,
    change: impl FnOnce(&mut AwsSecretsManager),
) -> StoreRig {
    let mut config = AwsSecretsManager {
        region: REGION.into(),
        endpoint_url: Some(address.into()),
        ca_file: None,
        proxy_url: None,
        auth,
        timeout: Duration::from_secs(10),
        cache,
    };
    change(&mut config);
    StoreRig::of("aws", dir, Kind::AwsSecretsManager(config))
}

/// Access keys that AWS does not know.
fn unknown_keys() -> Keys {
    Keys { id: "AKIANOBODYNOBODYNOBO".into(), secret: "canary-secret-access-key".into() }
}
