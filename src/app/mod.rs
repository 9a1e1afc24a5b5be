//! Composition: a configuration becomes a running process. Only this module opens the others.

mod authenticator_check;
mod configuration_check;
mod data_loss;
mod database_clock;
mod database_watch;
mod descriptor_limit;
mod doctor;
mod drain;
mod error;
mod keys;
mod logging;
mod memory_protection;
mod policies;
mod policy_bounds;
mod policy_resources;
mod policy_status;
mod reload;
mod restore;
mod signals;
mod start;
mod stop;
mod tls;
mod traces;

pub use configuration_check::{CheckedConfiguration, Engine, check_offline, check_online, find_mounts};
pub use doctor::{diagnose, misconfiguration_report};
pub use error::{StartError, with_causes};
pub use logging::start as start_logging;
pub use memory_protection::protect_memory;
pub use policies::directory_policies;
pub use policy_bounds::policy_bounds;
pub use restore::{RestoreError, restore};
pub use start::{Running, start};

/// Installs the cryptography provider. Call it before any use of TLS; a second call does nothing.
pub fn install_crypto_provider() {
    // An error means that a provider is already installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
