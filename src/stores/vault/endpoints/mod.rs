//! Endpoint types in the style of `vaultrs`, for calls that it does not support, or whose type breaks a guarantee
//! of this store.
//!
//! The response type of each is `IgnoredAny`: `responses` and `lease_responses` parse the responses, never `rustify`.

mod capabilities;
mod leases;
mod mount;
mod secret;

pub(super) use capabilities::CapabilitiesSelf;
pub(super) use leases::{RenewLease, RevokeLease};
pub(super) use mount::ReadMount;
pub(super) use secret::CreateSecret;
