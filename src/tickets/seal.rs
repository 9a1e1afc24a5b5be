//! Sealing and opening: AES-256-GCM under a key that is in the URL alone.
//!
//! From the URL's key two others are derived (HKDF-SHA-256, RFC 5869): one seals the bundle, the other is kept as the
//! verifier, which proves the key without opening anything. The associated data binds the sealed bundle to everything that
//! was decided about it, so that a row moved, mixed or edited at rest does not open.

use super::{Ticket, bundle_codec, ticket_codec};
use crate::model::bundle::Bundle;
use crate::model::ticket::TicketToken;
use crate::sealing::aead::{DoesNotOpen, NotSealed, SealingKey, TAG_BYTES};
use crate::sealing::codec::Malformed;
use crate::sealing::digest::{self, Digest};
use crate::sealing::keys::{KeyName, Purpose, RootKey};
use crate::sealing::random::{self, NoRandomness};
use std::fmt;
use std::sync::Arc;

/// The largest sealed bundle of a ticket, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 16 * 1024 * 1024;

/// A sealed bundle, the verifier of its key, and the ticket that it is bound to, as they rest.
#[derive(Clone)]
pub struct Sealed {
    /// Proves the key.
    pub(super) verifier: Digest,
    /// The ticket, by `ticket_codec`: associated data of the ciphertext, byte for byte.
    pub(super) details: Arc<[u8]>,
    /// Ciphertext and tag; empty once it is forgotten.
    pub(super) blob: Arc<[u8]>,
}

/// The bundle cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key or the associated data is not the one it was sealed under.
    #[error(transparent)]
    DoesNotOpen(#[from] DoesNotOpen),
    /// The library does not seal. This is a programming error.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// The opened bytes are no bundle. This is a programming error.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bundle has more than [`MAX_BUNDLE_BYTES`].
    #[error("the bundle is too large for a ticket")]
    TooLarge,
}

/// Seals under an epoch: what was sealed under another is not opened.
pub struct Sealer {
    epoch: [u8; 16],
}

impl Sealer {
    /// A new epoch, which ends with this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut epoch = [0; 16];
        random::fill(&mut epoch)?;
        Ok(Self { epoch })
    }

    /// The epoch of a database's key: of all replicas that share it, as long as they do.
    #[must_use]
    pub fn keyed(database_key: &RootKey) -> Self {
        Self { epoch: digest::short(&database_key.name(KeyName::TicketEpoch)) }
    }

    /// Seals a bundle under the token's key, bound to the ticket.
    ///
    /// # Errors
    /// When the bundle is too large.
    pub fn seal(&self, bundle: &Bundle, token: &TicketToken, ticket: &Ticket) -> Result<Sealed, SealError> {
        let size = bundle_codec::size(bundle);
        if size + TAG_BYTES > MAX_BUNDLE_BYTES {
            return Err(SealError::TooLarge);
        }
        let details = ticket_codec::encode(ticket);
        let key = sealing_key(token);
        let mut message = key.message(size);
        bundle_codec::encode(bundle, message.buffer());
        let blob = key.seal(message, &self.associated_data(&details))?;
        Ok(Sealed { verifier: verifier(token), details: details.into(), blob: blob.as_slice().into() })
    }

    /// Opens a sealed bundle.
    ///
    /// # Errors
    /// When the key, the epoch or anything about the ticket is another than it was sealed for.
    pub fn open(&self, sealed: &Sealed, token: &TicketToken) -> Result<Bundle, SealError> {
        let bytes = sealing_key(token).open(&sealed.blob, &self.associated_data(&sealed.details))?;
        Ok(bundle_codec::decode(&bytes)?)
    }

    /// The ticket comes last, so that no two have the same associated data.
    fn associated_data(&self, details: &[u8]) -> Vec<u8> {
        [b"claviger ticket v2".as_slice(), &self.epoch, details].concat()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

impl Sealed {
    /// Whether the token holds the key it was sealed under; takes the same time either way.
    #[must_use]
    pub fn is_proven_by(&self, token: &TicketToken) -> bool {
        digest::equal(&verifier(token), &self.verifier)
    }

    /// The size of the sealed bundle in bytes; 0 once it is forgotten.
    #[must_use]
    pub fn size(&self) -> usize {
        self.blob.len()
    }
}

fn verifier(token: &TicketToken) -> Digest {
    *token.key().derive(Purpose::TicketVerifier).as_bytes()
}

fn sealing_key(token: &TicketToken) -> SealingKey {
    SealingKey::once(&token.key().derive(Purpose::TicketSeal))
}
