//! An encrypted bundle as the ticket stores hold it.

use crate::model::ticket::TicketToken;
use crate::sealing::digest::{self, Digest};
use crate::sealing::keys::Purpose;
use std::fmt;
use std::sync::Arc;

/// An encrypted bundle, the verifier of its key, and the encoded ticket that it is bound to.
#[derive(Clone)]
pub struct SealedBundle {
    /// A key derived from the ticket's key. It checks the key of a token without decryption.
    pub(super) verifier: Digest,
    /// The ticket in the encoding of `ticket_codec`. Part of the associated data of the ciphertext.
    pub(super) encoded_ticket: Arc<[u8]>,
    /// Ciphertext and tag. Empty after the bundle is deleted.
    pub(super) ciphertext: Arc<[u8]>,
}

impl SealedBundle {
    /// Whether the token has the key of this bundle. Runs in constant time.
    #[must_use]
    pub fn matches_key_of(&self, token: &TicketToken) -> bool {
        digest::constant_time_eq(&verifier(token), &self.verifier)
    }

    /// Size of ciphertext and tag in bytes. 0 after the bundle is deleted.
    #[must_use]
    pub fn size(&self) -> usize {
        self.ciphertext.len()
    }
}

impl fmt::Debug for SealedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedBundle")
    }
}

pub(super) fn verifier(token: &TicketToken) -> Digest {
    *token.key().derive(Purpose::TicketVerifier).as_bytes()
}
