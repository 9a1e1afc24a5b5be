//! Looks up the mount of a path at the server. Concurrent look-ups are coalesced.

use super::call::CallOptions;
use super::endpoints::OwnEndpoint;
use super::exchange::VaultError;
use super::mounts::{Mount, Mounts};
use super::responses;
use super::session::VaultSession;
use crate::flights::SingleFlight;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use std::sync::Arc;

/// The look-ups under way.
pub(super) struct Preflights {
    session: Arc<VaultSession>,
    mounts: Arc<Mounts>,
    /// By first segment: paths that share it are usually under one mount.
    flights: Arc<SingleFlight<Arc<str>, Result<Mount, VaultError>>>,
}

impl Preflights {
    /// Results are cached in `mounts`.
    pub(super) fn new(session: &Arc<VaultSession>, mounts: &Arc<Mounts>) -> Self {
        Self { session: session.clone(), mounts: mounts.clone(), flights: SingleFlight::new() }
    }

    /// Looks up the mount of a path, or waits for the look-up of a path with the same first segment. If that finds another
    /// mount, the path's own is looked up.
    ///
    /// # Errors
    /// See [`responses::parse_mount`].
    pub(super) async fn look_up(&self, path: &StorePath, request: &RequestId) -> Result<Mount, VaultError> {
        let first: Arc<str> = path.as_str().split('/').next().unwrap_or_default().into();
        let own = || {
            let (session, mounts) = (self.session.clone(), self.mounts.clone());
            read_mount(session, mounts, path.clone(), request.clone())
        };
        let panicked = Err(VaultError::without_response(ReadError::Unavailable));
        let (flight, joined) = self.flights.run(first, own);
        match flight.await.unwrap_or(panicked) {
            Ok(mount) if joined && mount.below(path).is_none() => own().await,
            // An error response concerns a single path.
            Err(failed) if joined && failed.error != ReadError::Unavailable => own().await,
            response => response,
        }
    }
}

/// Reads the mount from the server.
async fn read_mount(
    session: Arc<VaultSession>,
    mounts: Arc<Mounts>,
    path: StorePath,
    request: RequestId,
) -> Result<Mount, VaultError> {
    // Another look-up may have ended between the look into the cache and the start of this one.
    if let Some((mount, _)) = mounts.find(&path) {
        return Ok(mount);
    }
    let group = format!("{}/", path.as_str().split('/').next().unwrap_or_default());
    let target = BreakerTarget { mount: &group, path: None, secret: Some(path.as_str()) };
    let options = CallOptions::read_only(StoreOperation::Preflight, target);
    let endpoint = || OwnEndpoint::ReadMount { path: path.as_str() };
    let (mount, _) =
        session.call(options, endpoint, &request, |response| responses::parse_mount(response, &path)).await?;
    mounts.remember(&mount);
    Ok(mount)
}
