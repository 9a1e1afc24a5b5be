//! Endpoint types in the style of `vaultrs`, for calls that it has no type for, or none that keeps what this store promises.
//!
//! The response type of each is `IgnoredAny`: answers are read by `answers` and `leased`, never by `rustify`.

mod capabilities;
mod leases;
mod mount;
mod secret;

pub(super) use capabilities::CapabilitiesSelf;
pub(super) use leases::{RenewLease, RevokeLease};
pub(super) use mount::ReadMount;
pub(super) use secret::{CreateSecret, ReadSecret};
