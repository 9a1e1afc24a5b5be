//! Sealing and opening of bundles: AES-256-GCM under a key that only the URL holds.
//!
//! Two keys are derived from the URL's key: one seals the bundle, the other is stored as the verifier, which proves the URL's key
//! without decryption. The associated data binds the sealed bundle to the whole ticket, so that a row that was moved, mixed or
//! edited does not open.

use super::sealed::{Sealed, verifier};
use super::ticket::Ticket;
use super::{bundle_codec, ticket_codec};
use crate::model::bundle::Bundle;
use crate::model::ticket::TicketToken;
use crate::sealing::aead::{OpenMessageError, SealMessageError, SealingKey, TAG_BYTES};
use crate::sealing::codec::DecodeError;
use crate::sealing::digest;
use crate::sealing::keys::{FingerprintPurpose, Purpose, RootKey};
use crate::sealing::random::{self, RandomError};

/// Maximum size of a sealed bundle, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 16 * 1024 * 1024;

/// The bundle cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key or the associated data is not the one it was sealed under.
    #[error(transparent)]
    Open(#[from] OpenMessageError),
    /// The library failed to seal. This is a programming error.
    #[error(transparent)]
    Seal(#[from] SealMessageError),
    /// The decrypted bytes are not a bundle. This is a programming error.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The bundle has more than [`MAX_BUNDLE_BYTES`].
    #[error("the bundle is too large for a ticket")]
    TooLarge,
}

/// Seals under an epoch. A bundle of another epoch does not open.
pub struct TicketSealer {
    epoch: [u8; 16],
}

impl TicketSealer {
    /// A random epoch, which ends with this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new() -> Result<Self, RandomError> {
        let mut epoch = [0; 16];
        random::fill(&mut epoch)?;
        Ok(Self { epoch })
    }

    /// The epoch of a database key, which all replicas with that key share.
    #[must_use]
    pub fn keyed(database_key: &RootKey) -> Self {
        Self { epoch: digest::truncate(&database_key.fingerprint(FingerprintPurpose::TicketEpoch)) }
    }

    /// Seals a bundle under the token's key, bound to the ticket.
    ///
    /// # Errors
    /// See [`SealError`].
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
    /// When the key, the epoch or the ticket differs from the one it was sealed for.
    pub fn open(&self, sealed: &Sealed, token: &TicketToken) -> Result<Bundle, SealError> {
        let bytes = sealing_key(token).open(&sealed.blob, &self.associated_data(&sealed.details))?;
        Ok(bundle_codec::decode(&bytes)?)
    }

    /// All before the ticket has a fixed length, so no two tickets have the same associated data.
    fn associated_data(&self, details: &[u8]) -> Vec<u8> {
        [b"claviger ticket v2".as_slice(), &self.epoch, details].concat()
    }
}

fn sealing_key(token: &TicketToken) -> SealingKey {
    SealingKey::with_fixed_nonce(&token.key().derive(Purpose::TicketSeal))
}
