//! A sealed bundle as it is stored.

use crate::model::ticket::TicketToken;
use crate::sealing::digest::{self, Digest};
use crate::sealing::keys::Purpose;
use std::fmt;
use std::sync::Arc;

/// A sealed bundle, the verifier of its key, and the ticket that it is bound to.
#[derive(Clone)]
pub struct Sealed {
    /// Proves the ticket's key without decryption.
    pub(super) verifier: Digest,
    /// The ticket, by `ticket_codec`: associated data of the ciphertext, byte for byte.
    pub(super) details: Arc<[u8]>,
    /// Ciphertext and tag. Empty after the bundle is deleted.
    pub(super) blob: Arc<[u8]>,
}

impl Sealed {
    /// Whether the token has the key of this bundle. Takes the same time in both cases.
    #[must_use]
    pub fn is_proven_by(&self, token: &TicketToken) -> bool {
        digest::constant_time_eq(&verifier(token), &self.verifier)
    }

    /// The size of the sealed bundle in bytes. 0 after it is deleted.
    #[must_use]
    pub fn size(&self) -> usize {
        self.blob.len()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

pub(super) fn verifier(token: &TicketToken) -> Digest {
    *token.key().derive(Purpose::TicketVerifier).as_bytes()
}
