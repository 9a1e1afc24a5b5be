//! The rig: starts real components on free ports of 127.0.0.1, and stops them by process ID.

pub mod bao;
pub mod claviger;
#[cfg(all(feature = "azure", feature = "gcp"))]
pub mod clouds;
pub mod database_lock;
#[cfg(all(feature = "azure", feature = "gcp"))]
pub mod drongo;
pub mod eso;
pub mod fake;
pub mod http;
pub mod installation;
pub mod installed;
pub mod issuer;
pub mod json;
pub mod keep_alive;
pub mod kube;
#[cfg(feature = "aws")]
pub mod moto;
pub mod oidc;
pub mod patroni;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod recorded_log;
pub mod replicas;
pub mod rotel;
pub mod scale;
pub mod tcp_relay;
pub mod tekton;
pub mod time;
pub mod vault_client;
