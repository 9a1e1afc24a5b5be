//! Stubs of the clouds over TLS: Key Vault with Entra ID, and Secret Manager with Google's token servers.
//!
//! There is no emulator of Key Vault, and that of Secret Manager checks no tokens. Each answer names where it is
//! documented. docs/AZURE.md and docs/GOOGLE.md list what only a real account
//! shows.

pub mod azure;
pub mod google;
mod tls;
