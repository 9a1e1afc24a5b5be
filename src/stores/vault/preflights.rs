//! Which mount a path is under, asked of the server; many who ask at once ask once.

use super::answers;
use super::client::Call;
use super::exchange::{Exchange, Failed};
use super::mounts::{Mount, Mounts};
use super::token::Token;
use crate::flights::Flights;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::ReadError;
use crate::stores::path::StorePath;
use http::Method;
use std::sync::Arc;

/// The look-ups on their way.
pub(super) struct Preflights {
    exchange: Arc<Exchange>,
    mounts: Arc<Mounts>,
    /// By first segment: paths that share it are most often under one mount.
    flights: Arc<Flights<Arc<str>, Result<Mount, Failed>>>,
}

impl Preflights {
    /// None are on their way. What is found is remembered in `mounts`.
    pub(super) fn new(exchange: &Arc<Exchange>, mounts: &Arc<Mounts>) -> Self {
        Self { exchange: exchange.clone(), mounts: mounts.clone(), flights: Flights::new() }
    }

    /// Asks for a path's mount, or waits for the answer to a neighbour's question. If that turns out not to be about
    /// this path, its own is asked.
    ///
    /// # Errors
    /// See [`answers::mount`].
    pub(super) async fn ask(&self, path: &StorePath, token: &Arc<Token>, request: &RequestId) -> Result<Mount, Failed> {
        let first: Arc<str> = path.as_str().split('/').next().unwrap_or_default().into();
        let own = || {
            let question =
                Question { exchange: self.exchange.clone(), mounts: self.mounts.clone(), path: path.clone() };
            question.put(token.clone(), request.clone())
        };
        let lost = Err(Failed { error: ReadError::Unavailable, forbidden: false });
        let (flight, boarded) = self.flights.board(first, own);
        match flight.await.unwrap_or(lost) {
            Ok(mount) if boarded && mount.url_path(path).is_none() => own().await,
            // A refusal is about one path and one token.
            Err(failed) if boarded && failed.error != ReadError::Unavailable => own().await,
            answer => answer,
        }
    }
}

/// Under which mount is this path?
struct Question {
    exchange: Arc<Exchange>,
    mounts: Arc<Mounts>,
    path: StorePath,
}

impl Question {
    async fn put(self, token: Arc<Token>, request: RequestId) -> Result<Mount, Failed> {
        // Another one may have been answered between the look at what is known and this one's turn.
        if let Some((mount, _)) = self.mounts.find(&self.path) {
            return Ok(mount);
        }
        let url_path = format!("sys/internal/ui/mounts/{}", self.path.in_url());
        let call = Call { method: Method::GET, path: &url_path, token: Some(&token.header), body: None, once: false };
        let meaning = |answer: &_| answers::mount(answer, &self.path);
        let mount = self.exchange.ask(StoreOperation::Preflight, call, &request, meaning).await?;
        self.mounts.remember(&mount);
        Ok(mount)
    }
}
