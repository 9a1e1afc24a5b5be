//! The client of one API server. Each kind of call is in its own file, such as `token_review` and `pod`.

use super::call_limit::CallLimit;
use crate::metrics::Metrics;
use crate::trust::FileStamp;
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// The client of one API server. It uses the broker's own credentials.
pub struct Cluster {
    pub(super) connection: ArcSwap<Connection>,
    /// `None` for the cluster that the broker runs in.
    pub(super) kubeconfig: Option<PathBuf>,
    /// Stamps of the files that the connection was built from, at the last check for changes.
    pub(super) stamps: Mutex<Vec<Option<FileStamp>>>,
    /// Whether the last reload failed, so that the next check tries again.
    pub(super) reload_failed: AtomicBool,
    /// The limit of token reviews. They have their own, so that forged tokens cannot block reads of pods.
    pub(super) reviews: CallLimit,
    /// The limit of all other calls except watches.
    pub(super) other_calls: CallLimit,
    pub(super) metrics: Arc<Metrics>,
}

/// An HTTP client and the credentials that it sends. Replaced as a whole when a file changes.
pub struct Connection {
    pub(super) client: kube::Client,
    /// The `Authorization` header. `None` if `kube` adds the header itself, or if none is sent.
    pub(super) authorization: Option<HeaderValue>,
    /// The files that this was built from, with their stamps from before the read.
    pub(super) files: Vec<(PathBuf, Option<FileStamp>)>,
}
