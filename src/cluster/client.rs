//! The client of one API server. Its calls stand in `token_review`, `access_review`, `pod` and `tekton`.

use super::lanes::Lanes;
use super::stamp::Stamp;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// One API server, asked with the broker's own credentials.
pub struct Cluster {
    pub(super) link: ArcSwap<Link>,
    /// None for the cluster we run in.
    pub(super) kubeconfig: Option<PathBuf>,
    /// The files that the link was made of, as they were at the last look.
    pub(super) seen: Mutex<Vec<Option<Stamp>>>,
    /// Reviews have lanes of their own, so that forged tokens cannot keep good ones from their pods.
    pub(super) reviews: Lanes,
    pub(super) reads: Lanes,
    pub(super) metrics: Arc<Metrics>,
}

/// How it is reached, and what it is shown.
pub struct Link {
    pub(super) client: kube::Client,
    /// None where the client makes one itself, or none is sent.
    pub(super) authorization: Option<HeaderValue>,
    /// The files that this was made of, as they were before they were read.
    pub(super) files: Vec<(PathBuf, Option<Stamp>)>,
}
