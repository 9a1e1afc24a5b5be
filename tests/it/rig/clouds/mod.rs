//! Stubs of the clouds: what Key Vault with Entra ID, and Secret Manager with Google's token servers, answer over TLS.
//!
//! No emulator of Key Vault is to be had, and the one of Secret Manager knows no tokens. Each answer names where it is
//! documented. docs/AZURE.md and docs/GOOGLE.md list what only a real account
//! shows.

pub mod azure;
pub mod google;
mod tls;
