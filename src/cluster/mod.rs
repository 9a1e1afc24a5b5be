//! THE CLUSTER: one Kubernetes client per cluster, shared by everyone who asks the API server something.
//!
//! Every call has a deadline, waits in a bounded line and reads a bounded answer. What `kube` says of a failure
//! may quote tokens and URLs, so none of it leaves this room: a failure is one of the words of [`Trouble`].

pub mod access_review;
mod clusters;
mod connect;
mod credentials;
mod exchange;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(fuzzing)]
pub mod fuzzing;
mod kubeconfig;
mod lanes;
pub mod name;
mod object;
pub mod pod;
mod reload;
pub mod stamp;
pub mod tekton;
pub mod token_review;

pub use clusters::Clusters;
pub use connect::{Checked, ConnectError, OwnToken, check};
pub use kubeconfig::KubeconfigFault;
pub use object::{Owner, Time};

use crate::metrics::Metrics;
use crate::trust::ConnectFailure;
use arc_swap::ArcSwap;
use http::HeaderValue;
use lanes::Lanes;
use stamp::Stamp;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// One API server, asked with the broker's own credentials.
pub struct Cluster {
    link: ArcSwap<Link>,
    /// None for the cluster we run in.
    kubeconfig: Option<PathBuf>,
    /// The files that the link was made of, as they were at the last look.
    seen: Mutex<Vec<Option<Stamp>>>,
    /// Reviews have lanes of their own, so that forged tokens cannot keep good ones from their pods.
    reviews: Lanes,
    reads: Lanes,
    metrics: Arc<Metrics>,
}

/// How it is reached, and what it is shown.
struct Link {
    client: kube::Client,
    /// None where the client makes one itself, or none is sent.
    authorization: Option<HeaderValue>,
    /// The files that this was made of, as they were before they were read.
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// Why the API server was asked in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ClusterError {
    /// Nobody knows the answer; asking later may help.
    #[error("the API server gave no usable answer: {}", .0.sentence())]
    Unavailable(Trouble),
}

/// What went wrong, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// Too many calls were under way already; nothing was sent.
    Busy,
    /// No whole answer in time.
    Timeout,
    /// No connection, or no TLS on it, for a reason that is known.
    Unconnected(ConnectFailure),
    /// No connection for another reason, or one that broke.
    Connection,
    /// The broker's own credentials are bad, or its RBAC is too narrow (401, 403).
    Credentials,
    /// The API server is overloaded or broken (429, 5xx).
    Overloaded,
    /// A status that makes no sense here.
    Status,
    /// An answer that is not what the API promises.
    Malformed,
    /// An answer longer than such an answer can be.
    TooLarge,
}

impl Trouble {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Unconnected(failure) => failure.as_str(),
            Self::Connection => "connection",
            Self::Credentials => "credentials",
            Self::Overloaded => "overloaded",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

impl Trouble {
    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unconnected(failure) => failure.sentence(),
            _ => self.as_str(),
        }
    }
}

impl From<Trouble> for ClusterError {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable(trouble)
    }
}
