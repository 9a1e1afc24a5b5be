//! Whether everything outside can be reached: `claviger check --online`.

use super::start::{StartError, connect_clusters, new_metrics, open_authenticators};
use crate::config::Config;
use crate::model::clock::{Clock, SystemClock};
use crate::stores::Stores;
use std::sync::Arc;

/// Asks every API server and every store, and says of each whether it can be used.
///
/// # Errors
/// When one cannot even be opened.
pub async fn check_online(config: Config) -> Result<Vec<(String, Result<(), String>)>, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(new_metrics(&config)?);
    let clusters = connect_clusters(&config, &metrics).await?;
    let authenticators = open_authenticators(&config, &clusters, &clock, &metrics)?;
    let stores = Stores::open(&config.stores, &metrics)?;
    let mut reached = Vec::new();
    match authenticators.check_online().await {
        Ok(()) => reached.push(("authenticators".to_owned(), Ok(()))),
        Err(faults) => reached.extend(faults.into_iter().map(|fault| (fault.dotted(), Err(fault.detail)))),
    }
    for (name, result) in stores.check_online().await {
        reached.push((format!("store {name}"), result.map_err(|fault| fault.to_string())));
    }
    Ok(reached)
}
