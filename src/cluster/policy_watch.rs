//! List and watch of policies that are custom resources, on the watcher of `kube`: bookmarks, expired versions and restarts are its.

use super::client::Cluster;
use super::error::CallFailure;
use super::policy_list::PolicyList;
use super::policy_object::resource;
use super::watch_client::{PAGE, WATCH_SECONDS};
use crate::model::policy_resource::{GROUP, ResourceChange, ResourceKind, VERSION};
use crate::trust::ConnectFailure;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use std::sync::Arc;

/// Why nothing is heard of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyWatchError {
    /// The API server does not serve the resource.
    #[error("the custom resource definitions are not installed")]
    NotInstalled,
    /// The broker may not list or watch them.
    #[error("the broker may not list and watch policies and clusterpolicies of claviger.dev")]
    NotAllowed,
    /// Nobody knows; asking later may help.
    #[error("the API server gave no usable answer: {}", .0.sentence())]
    Failed(CallFailure),
}

/// The objects of one kind, and what happens to them.
pub struct PolicyWatch {
    cluster: Arc<Cluster>,
    kind: ResourceKind,
    stream: BoxStream<'static, watcher::Result<Event<DynamicObject>>>,
    /// Whether lists are read by pages, because the API server does not stream them.
    by_pages: bool,
    /// What was listed so far.
    listed: Option<PolicyList>,
}

impl Cluster {
    /// Begins to read the objects of a kind. Nothing is sent before [`PolicyWatch::next`].
    #[must_use]
    pub fn watch_policies(self: &Arc<Self>, kind: ResourceKind) -> PolicyWatch {
        let stream = stream(self, kind, false);
        PolicyWatch { cluster: self.clone(), kind, stream, by_pages: false, listed: None }
    }
}

fn stream(
    cluster: &Arc<Cluster>,
    kind: ResourceKind,
    by_pages: bool,
) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
    let resource = ApiResource {
        group: GROUP.into(),
        version: VERSION.into(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: kind.as_str().into(),
        plural: kind.plural().into(),
    };
    let api: Api<DynamicObject> = Api::all_with(cluster.watch_client(), &resource);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let config = if by_pages { config.page_size(PAGE) } else { config.streaming_lists() };
    watcher::watcher(api, config).boxed()
}

impl PolicyWatch {
    /// Waits for the next change. The first one, and one after each loss of what came before, is a whole list.
    ///
    /// # Errors
    /// See [`PolicyWatchError`]. It can be called again.
    pub async fn next(&mut self) -> Result<ResourceChange, PolicyWatchError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Event::Init)) => {
                    if self.listed.replace(PolicyList::default()).is_some() && !self.by_pages {
                        // A watch ended without the mark at the end of its list: old API servers do not know that mark.
                        self.read_by_pages();
                    }
                }
                Some(Ok(Event::InitApply(object))) => {
                    if let Some(resource) = resource(object) {
                        self.listed.get_or_insert_default().push(resource);
                    }
                }
                Some(Ok(Event::InitDone)) => {
                    let listed = self.listed.take().unwrap_or_default();
                    return Ok(ResourceChange::Listed(self.kind, listed.into_resources()));
                }
                Some(Ok(Event::Apply(object))) => {
                    if let Some(resource) = resource(object) {
                        return Ok(ResourceChange::Applied(Box::new(resource)));
                    }
                }
                Some(Ok(Event::Delete(object))) => {
                    if let Some(resource) = resource(object) {
                        return Ok(ResourceChange::Deleted(resource.key));
                    }
                }
                Some(Err(error)) if !self.by_pages && refuses_streams(&error) => self.read_by_pages(),
                Some(Err(error)) => {
                    self.listed = None;
                    return Err(failure(&error));
                }
                // The library's stream has no end.
                None => return Err(PolicyWatchError::Failed(CallFailure::Connection)),
            }
        }
    }

    fn read_by_pages(&mut self) {
        self.by_pages = true;
        self.listed = None;
        self.stream = stream(&self.cluster, self.kind, true);
    }
}

/// Whether the API server does not know `sendInitialEvents`, or is told not to take it.
fn refuses_streams(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

fn failure(error: &watcher::Error) -> PolicyWatchError {
    let inner = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => return of_status(status.code),
        watcher::Error::NoResourceVersion => return PolicyWatchError::Failed(CallFailure::Malformed),
    };
    let failure = match inner {
        kube::Error::Api(status) => return of_status(status.code),
        // The broker's token file or credential plugin, before anything was sent.
        kube::Error::Auth(_) => return PolicyWatchError::NotAllowed,
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => CallFailure::Malformed,
        error if is_too_large(error) => CallFailure::TooLarge,
        error => ConnectFailure::from_error(error).map_or(CallFailure::Connection, CallFailure::Unconnected),
    };
    PolicyWatchError::Failed(failure)
}

fn is_too_large(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::FileTooLarge) {
            return true;
        }
        // An error of I/O that wraps another one shows the causes of that one only.
        let wrapped = io.and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        cause = wrapped.or_else(|| error.source());
    }
    false
}

const fn of_status(code: u16) -> PolicyWatchError {
    match code {
        401 | 403 => PolicyWatchError::NotAllowed,
        404 => PolicyWatchError::NotInstalled,
        429 | 500.. => PolicyWatchError::Failed(CallFailure::Overloaded),
        _ => PolicyWatchError::Failed(CallFailure::Status),
    }
}
