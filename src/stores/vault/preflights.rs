//! Which mount a path is under, asked of the server; many who ask at once ask once.

use super::answers;
use super::call::CallOptions;
use super::endpoints::ReadMount;
use super::exchange::Failed;
use super::mounts::{Mount, Mounts};
use super::session::Session;
use crate::flights::Flights;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::Target;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use std::sync::Arc;

/// The look-ups on their way.
pub(super) struct Preflights {
    session: Arc<Session>,
    mounts: Arc<Mounts>,
    /// By first segment: paths that share it are most often under one mount.
    flights: Arc<Flights<Arc<str>, Result<Mount, Failed>>>,
}

impl Preflights {
    /// None are on their way. What is found is remembered in `mounts`.
    pub(super) fn new(session: &Arc<Session>, mounts: &Arc<Mounts>) -> Self {
        Self { session: session.clone(), mounts: mounts.clone(), flights: Flights::new() }
    }

    /// Asks for a path's mount, or waits for the answer to a neighbour's question. If that turns out not to be about
    /// this path, its own is asked.
    ///
    /// # Errors
    /// See [`answers::mount`].
    pub(super) async fn ask(&self, path: &StorePath, request: &RequestId) -> Result<Mount, Failed> {
        let first: Arc<str> = path.as_str().split('/').next().unwrap_or_default().into();
        let own = || {
            let (session, mounts) = (self.session.clone(), self.mounts.clone());
            look_up(session, mounts, path.clone(), request.clone())
        };
        let lost = Err(Failed::of(ReadError::Unavailable));
        let (flight, boarded) = self.flights.board(first, own);
        match flight.await.unwrap_or(lost) {
            Ok(mount) if boarded && mount.below(path).is_none() => own().await,
            // A refusal is about one path.
            Err(failed) if boarded && failed.error != ReadError::Unavailable => own().await,
            answer => answer,
        }
    }
}

/// Under which mount is this path?
async fn look_up(
    session: Arc<Session>,
    mounts: Arc<Mounts>,
    path: StorePath,
    request: RequestId,
) -> Result<Mount, Failed> {
    // Another look-up may have ended between the look at what is known and this one's turn.
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
