//! Looks up the mount of a path at the server. Concurrent look-ups are coalesced.

use super::answers;
use super::call::CallOptions;
use super::endpoints::ReadMount;
use super::exchange::CallFailure;
use super::mounts::{Mount, Mounts};
use super::session::Session;
use crate::flights::SingleFlight;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::Target;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use std::sync::Arc;

/// The look-ups under way.
pub(super) struct Preflights {
    session: Arc<Session>,
    mounts: Arc<Mounts>,
    /// By first segment: paths that share it are usually under one mount.
    flights: Arc<SingleFlight<Arc<str>, Result<Mount, CallFailure>>>,
}

impl Preflights {
    /// No look-ups. Results are cached in `mounts`.
    pub(super) fn new(session: &Arc<Session>, mounts: &Arc<Mounts>) -> Self {
        Self { session: session.clone(), mounts: mounts.clone(), flights: SingleFlight::new() }
    }

    /// Looks up the mount of a path, or waits for the look-up of a path with the same first segment. If that finds another
    /// mount, the path's own is looked up.
    ///
    /// # Errors
    /// See [`answers::mount`].
    pub(super) async fn ask(&self, path: &StorePath, request: &RequestId) -> Result<Mount, CallFailure> {
        let first: Arc<str> = path.as_str().split('/').next().unwrap_or_default().into();
        let own = || {
            let (session, mounts) = (self.session.clone(), self.mounts.clone());
            look_up(session, mounts, path.clone(), request.clone())
        };
        let lost = Err(CallFailure::of(ReadError::Unavailable));
        let (flight, joined) = self.flights.run(first, own);
        match flight.await.unwrap_or(lost) {
            Ok(mount) if joined && mount.below(path).is_none() => own().await,
            // A refusal counts for one path.
            Err(failed) if joined && failed.error != ReadError::Unavailable => own().await,
            answer => answer,
        }
    }
}

/// Asks the server.
async fn look_up(
    session: Arc<Session>,
    mounts: Arc<Mounts>,
    path: StorePath,
    request: RequestId,
) -> Result<Mount, CallFailure> {
    // Another look-up may have ended between the look into the cache and the start of this one.
    if let Some((mount, _)) = mounts.find(&path) {
        return Ok(mount);
    }
    let group = format!("{}/", path.as_str().split('/').next().unwrap_or_default());
    let target = Target { mount: &group, path: None, asked: Some(path.as_str()) };
    let options = CallOptions::new(StoreOperation::Preflight, target);
    let endpoint = || ReadMount { path: path.as_str() };
    let (mount, _) = session.ask(options, endpoint, &request, |answer| answers::mount(answer, &path)).await?;
    mounts.remember(&mount);
    Ok(mount)
}
