//! Looks up the mount of a path at the server. Concurrent look-ups share one call.

use super::call::CallOptions;
use super::endpoints::VaultEndpoint;
use super::mounts::{Mount, Mounts};
use super::responses;
use super::session::VaultSession;
use crate::flights::SingleFlight;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::port::ReadError;
use crate::stores::server_calls::CallError;
use crate::stores::store_path::StorePath;
use std::sync::Arc;

/// Looks up mounts, and caches the results.
pub(super) struct MountLookup {
    session: Arc<VaultSession>,
    mounts: Arc<Mounts>,
    /// The running look-ups, by first segment: paths that share it usually have the same mount.
    flights: Arc<SingleFlight<Arc<str>, Result<Mount, CallError>>>,
}

impl MountLookup {
    /// Caches results in `mounts`.
    pub(super) fn new(session: &Arc<VaultSession>, mounts: &Arc<Mounts>) -> Self {
        Self { session: session.clone(), mounts: mounts.clone(), flights: SingleFlight::new() }
    }

    /// Looks up the mount of a path, or waits for the running look-up of a path with the same first segment. If that path has
    /// another mount, the mount of this path is looked up afterwards.
    ///
    /// # Errors
    /// See [`responses::parse_mount`].
    pub(super) async fn look_up(&self, path: &StorePath, request_id: &RequestId) -> Result<Mount, CallError> {
        let look_up_this_path = || {
            let (session, mounts) = (self.session.clone(), self.mounts.clone());
            read_mount(session, mounts, path.clone(), request_id.clone())
        };
        let panicked = Err(CallError::not_sent(ReadError::Unavailable));
        let (flight, joined) = self.flights.run(first_segment(path).into(), look_up_this_path);
        match flight.await.unwrap_or(panicked) {
            Ok(mount) if joined && mount.relative_path(path).is_none() => look_up_this_path().await,
            // The server refused the other path, which may have another mount. Only an outage concerns both paths.
            Err(failed) if joined && failed.error != ReadError::Unavailable => look_up_this_path().await,
            response => response,
        }
    }
}

fn first_segment(path: &StorePath) -> &str {
    path.as_str().split('/').next().unwrap_or_default()
}

/// Reads the mount from the server.
async fn read_mount(
    session: Arc<VaultSession>,
    mounts: Arc<Mounts>,
    path: StorePath,
    request_id: RequestId,
) -> Result<Mount, CallError> {
    // Another look-up may have ended after the cache was read and before the start of this one.
    if let Some((mount, _)) = mounts.find(&path) {
        return Ok(mount);
    }
    // The mount is not known yet: the breaker is that of all paths with the same first segment.
    let breaker_group = format!("{}/", first_segment(&path));
    let target = BreakerTarget { mount: &breaker_group, creation_path: None, secret_path: Some(path.as_str()) };
    let options = CallOptions::new(StoreOperation::Preflight, target);
    let endpoint = || VaultEndpoint::ReadMount { path: path.as_str() };
    let (mount, _) =
        session.call(options, endpoint, &request_id, |response| responses::parse_mount(response, &path)).await?;
    mounts.insert(&mount);
    Ok(mount)
}
