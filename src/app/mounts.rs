//! How the mounts of Vault stores are read: for `claviger vault-policy`.

use super::start::{StartError, new_metrics};
use crate::config::Config;
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use crate::stores::{ReadError, Stores};
use std::sync::Arc;

pub use crate::stores::Engine;

/// The mount of each path, with a slash at its end, and how it is read.
///
/// # Errors
/// When the stores cannot be opened.
pub async fn find_mounts(
    config: &Config,
    paths: &[SecretRef],
) -> Result<Vec<Result<(String, Engine), ReadError>>, StartError> {
    let metrics = Arc::new(new_metrics(config)?);
    let stores = Stores::open(&config.stores, &metrics)?;
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        found.push(stores.mount_of(path, &RequestId::random()).await);
    }
    Ok(found)
}
