//! COMPOSITION: a configuration becomes a running process. The only room that opens the others.

mod authenticators;
mod check;
mod database_clock;
mod descriptors;
mod drain;
mod error;
mod hide;
mod keys;
mod logging;
mod policies;
mod policy_bounds;
mod reload;
mod signals;
mod start;
mod tls;
mod traces;

pub use check::{Checked, Engine, check_offline, check_online, find_mounts};
pub use error::StartError;
pub use hide::hide_memory;
pub use logging::start as start_logging;
pub use policies::directory_policies;
pub use policy_bounds::policy_bounds;
pub use start::{Running, start};

/// Installs the one cryptography provider. To be called before anything speaks TLS; calling it again does nothing.
pub fn install_crypto() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
