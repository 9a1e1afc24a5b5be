//! The client of one API server. Its calls are in `token_review`, `access_review`, `pod` and `tekton`.

use super::call_limit::CallLimit;
use super::stamp::Stamp;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The client of one API server. It uses the broker's own credentials.
pub struct Cluster {
    pub(super) link: ArcSwap<Link>,
    /// `None` for the cluster that the broker runs in.
    pub(super) kubeconfig: Option<PathBuf>,
    /// Stamps, at the last check, of the files that the connection was built from.
    pub(super) stamps: Mutex<Vec<Option<Stamp>>>,
    /// Reviews have their own limit, so that forged tokens cannot block reads of pods.
    pub(super) reviews: CallLimit,
    pub(super) reads: CallLimit,
    pub(super) metrics: Arc<Metrics>,
}

/// A connection: the HTTP client and the credentials it sends.
pub struct Link {
    pub(super) client: kube::Client,
    /// `None` if `kube` adds the header itself, or if no header is sent.
    pub(super) authorization: Option<HeaderValue>,
    /// Stamps, taken before reading, of the files that this was built from.
    pub(super) files: Vec<(PathBuf, Option<Stamp>)>,
}
