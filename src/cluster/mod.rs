//! One Kubernetes client for each cluster, shared by all rooms that call the API server.
//!
//! Every call has a deadline, a bounded queue and a bounded response. Error texts of `kube` may quote tokens and URLs, so they do
//! not leave this room: other rooms get a [`CallFailure`].

pub mod access_review;
mod admission_policy;
mod call_limit;
mod client;
mod clusters;
mod connect;
mod connect_error;
mod credentials;
mod error;
mod exchange;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(fuzzing)]
pub mod fuzzing;
mod installation;
mod kubeconfig;
mod leader_lease;
pub mod name;
mod object;
pub mod pod;
mod policy_list;
mod policy_object;
mod policy_status;
mod policy_watch;
mod reload;
mod review_request;

pub mod tekton;
pub mod token_review;
mod watch_client;

pub use crate::metrics::labels::AdmissionPolicyState;
pub use admission_policy::AdmissionPolicyStatus;
pub use client::Cluster;
pub use clusters::Clusters;
pub use connect::{CheckedCredentials, OwnToken, check};
pub use connect_error::{ConnectError, KubeconfigFault};
pub use error::CallFailure;
pub use installation::{OwnAccess, ServedTime};
pub use leader_lease::LeaderLease;
pub use object::{Owner, Time};
pub use policy_status::StatusWritten;
pub use policy_watch::{PolicyWatch, PolicyWatchError};
