//! The main job with real components: from a pod's token to a secret, once. The real binary runs between a real
//! API server and a real OpenBao.

mod admission;
mod api_server_unreachable;
mod attested;
#[cfg(feature = "aws")]
mod aws;
mod caches;
#[cfg(all(feature = "azure", feature = "gcp"))]
mod clouds;
mod dynamic;
mod login_refused;
mod neighbours;
mod refusals;
mod store_faults;
mod store_sealed;
mod tls;
mod walk;
