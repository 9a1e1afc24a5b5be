//! One Kubernetes client for each cluster, shared by all modules that call the API server.
//!
//! Every call has a deadline, a bounded queue and a bounded response. Error texts of `kube` may quote tokens and URLs, so they do
//! not leave this module: other modules get a [`CallFailure`].

pub mod access_review;
mod admission_policy;
mod call_failure;
mod call_limit;
mod client;
mod client_reload;
mod clusters;
mod connect;
mod connect_error;
mod credentials;
#[cfg(test)]
pub(crate) mod fake_api_server;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http_exchange;
mod installation;
mod kubeconfig;
mod leader_lease;
mod object;
pub mod object_name;
pub mod pod;
mod policy_list;
mod policy_object;
mod policy_status;
mod policy_watch;
mod review_request;

pub mod tekton;
pub mod token_review;
mod watch_client;

pub use crate::metrics::labels::AdmissionPolicyState;
pub use admission_policy::FoundAdmissionPolicy;
pub use call_failure::CallFailure;
pub use client::Cluster;
pub use clusters::Clusters;
pub use connect::{CheckedCredentials, OwnToken, check_credentials};
pub use connect_error::{ConnectError, KubeconfigFault};
pub use installation::{ApiServerTime, OwnAccess};
pub use leader_lease::LeaderLease;
pub use object::{Owner, Time};
pub use policy_status::StatusWritten;
pub use policy_watch::{PolicyWatch, PolicyWatchError};
