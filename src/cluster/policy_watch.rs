//! List and watch of policies that are custom resources. The watcher of `kube` handles bookmarks, expired resource versions and
//! restarts.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::policy_list::PolicyList;
use super::policy_object::to_resource;
use super::watch_client::{PAGE_SIZE, WATCH_SECONDS};
use crate::model::policy_resource::{GROUP, ResourceChange, ResourceKind, VERSION};
use crate::trust::ConnectFailure;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use std::sync::Arc;

/// Why the objects cannot be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyWatchError {
    /// The API server does not serve the resource.
    #[error("the custom resource definitions are not installed")]
    NotInstalled,
    /// The broker is not allowed to list or watch the objects.
    #[error("the broker may not list and watch policies and clusterpolicies of claviger.dev")]
    NotAllowed,
    /// The call failed. A later attempt may succeed.
    #[error(transparent)]
    Failed(CallFailure),
}

/// A watch of the objects of one kind.
pub struct PolicyWatch {
    cluster: Arc<Cluster>,
    kind: ResourceKind,
    stream: BoxStream<'static, watcher::Result<Event<DynamicObject>>>,
    /// Whether lists are read in pages, because the API server does not support streaming lists (`sendInitialEvents`).
    is_paged: bool,
    /// The list that is being read.
    list: Option<PolicyList>,
}

impl Cluster {
    /// A watch of the objects of a kind. Nothing is sent before [`PolicyWatch::next`].
    #[must_use]
    pub fn watch_policies(self: &Arc<Self>, kind: ResourceKind) -> PolicyWatch {
        let stream = watch_stream(self, kind, false);
        PolicyWatch { cluster: self.clone(), kind, stream, is_paged: false, list: None }
    }
}

fn watch_stream(
    cluster: &Arc<Cluster>,
    kind: ResourceKind,
    is_paged: bool,
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
    let config = if is_paged { config.page_size(PAGE_SIZE) } else { config.streaming_lists() };
    watcher::watcher(api, config).boxed()
}

impl PolicyWatch {
    /// Waits for the next change. The first change is a complete list. If the watch has to start again, the next change is a
    /// complete list too.
    ///
    /// # Errors
    /// See [`PolicyWatchError`]. After an error, the method can be called again.
    pub async fn next(&mut self) -> Result<ResourceChange, PolicyWatchError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Event::Init)) => {
                    if self.list.replace(PolicyList::default()).is_some() && !self.is_paged {
                        // The watch ended before the bookmark that ends a streaming list, which old API servers do not send.
                        self.restart_paged();
                    }
                }
                Some(Ok(Event::InitApply(object))) => {
                    if let Some(resource) = to_resource(object) {
                        self.list.get_or_insert_default().push(resource);
                    }
                }
                Some(Ok(Event::InitDone)) => {
                    let list = self.list.take().unwrap_or_default();
                    return Ok(ResourceChange::Listed(self.kind, list.into_resources()));
                }
                Some(Ok(Event::Apply(object))) => {
                    if let Some(resource) = to_resource(object) {
                        return Ok(ResourceChange::Applied(Box::new(resource)));
                    }
                }
                Some(Ok(Event::Delete(object))) => {
                    if let Some(resource) = to_resource(object) {
                        return Ok(ResourceChange::Deleted(resource.key));
                    }
                }
                Some(Err(error)) if !self.is_paged && refuses_streaming_list(&error) => self.restart_paged(),
                Some(Err(error)) => {
                    self.list = None;
                    return Err(watch_error(&error));
                }
                // The stream of `kube` has no end.
                None => return Err(PolicyWatchError::Failed(CallFailure::ConnectionLost)),
            }
        }
    }

    fn restart_paged(&mut self) {
        self.is_paged = true;
        self.list = None;
        self.stream = watch_stream(&self.cluster, self.kind, true);
    }
}

/// Whether the API server does not support `sendInitialEvents`, or has it disabled.
fn refuses_streaming_list(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

fn watch_error(error: &watcher::Error) -> PolicyWatchError {
    let inner = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => return status_error(status.code),
        watcher::Error::NoResourceVersion => return PolicyWatchError::Failed(CallFailure::Malformed),
    };
    let failure = match inner {
        kube::Error::Api(status) => return status_error(status.code),
        // The broker's token file or credential plugin failed; nothing was sent.
        kube::Error::Auth(_) => return PolicyWatchError::NotAllowed,
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => CallFailure::Malformed,
        error if is_too_large(error) => CallFailure::TooLarge,
        error => ConnectFailure::from_error(error).map_or(CallFailure::ConnectionLost, CallFailure::Unconnected),
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
        // The `source` of an I/O error skips the error that it wraps, so the wrapped error is looked at first.
        let wrapped = io.and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        cause = wrapped.or_else(|| error.source());
    }
    false
}

const fn status_error(code: u16) -> PolicyWatchError {
    match code {
        401 | 403 => PolicyWatchError::NotAllowed,
        404 => PolicyWatchError::NotInstalled,
        429 | 500.. => PolicyWatchError::Failed(CallFailure::Overloaded),
        _ => PolicyWatchError::Failed(CallFailure::Status),
    }
}
