//! Seals and opens bundles with AES-256-GCM. The key comes from the ticket's URL and is stored nowhere.
//!
//! Two keys are derived from the random key in the URL: one encrypts the bundle, the other is stored as the verifier, which checks
//! the key of a token without decryption. The associated data binds the ciphertext to the whole ticket, so a row whose columns were
//! edited, or replaced by those of another row, does not open.

use super::sealed_bundle::{SealedBundle, verifier};
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

/// Why a bundle cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key, the epoch or the ticket differs from the one that the bundle was sealed with.
    #[error(transparent)]
    Open(#[from] OpenMessageError),
    /// The encryption failed, which does not occur.
    #[error(transparent)]
    Seal(#[from] SealMessageError),
    /// The decrypted bytes are not a bundle, which does not occur.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The sealed bundle would exceed [`MAX_BUNDLE_BYTES`].
    #[error("the bundle is too large for a ticket")]
    TooLarge,
}

/// Seals and opens bundles within an epoch: a bundle of another epoch does not open.
pub struct TicketSealer {
    epoch: [u8; 16],
}

impl TicketSealer {
    /// With a random epoch, which ends with this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new_random() -> Result<Self, RandomError> {
        let mut epoch = [0; 16];
        random::fill(&mut epoch)?;
        Ok(Self { epoch })
    }

    /// With the epoch of a database key, which all replicas with that key share.
    #[must_use]
    pub fn from_database_key(database_key: &RootKey) -> Self {
        Self { epoch: digest::truncate(&database_key.fingerprint(FingerprintPurpose::TicketEpoch)) }
    }

    /// Seals a bundle under the token's key, bound to the ticket.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, bundle: &Bundle, token: &TicketToken, ticket: &Ticket) -> Result<SealedBundle, SealError> {
        let size = bundle_codec::encoded_size(bundle);
        if size + TAG_BYTES > MAX_BUNDLE_BYTES {
            return Err(SealError::TooLarge);
        }
        let encoded_ticket = ticket_codec::encode(ticket);
        let key = sealing_key(token);
        let mut message = key.message(size);
        bundle_codec::encode(bundle, message.buffer());
        let ciphertext = key.seal(message, &self.associated_data(&encoded_ticket))?;
        let (encoded_ticket, ciphertext) = (encoded_ticket.into(), ciphertext.as_slice().into());
        Ok(SealedBundle { verifier: verifier(token), encoded_ticket, ciphertext })
    }

    /// Decrypts a sealed bundle.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn open(&self, sealed: &SealedBundle, token: &TicketToken) -> Result<Bundle, SealError> {
        let bytes = sealing_key(token).open(&sealed.ciphertext, &self.associated_data(&sealed.encoded_ticket))?;
        Ok(bundle_codec::decode(&bytes)?)
    }

    /// Everything before the encoded ticket has a fixed length, so different tickets have different associated data.
    fn associated_data(&self, encoded_ticket: &[u8]) -> Vec<u8> {
        [b"claviger ticket v2".as_slice(), &self.epoch, encoded_ticket].concat()
    }
}

fn sealing_key(token: &TicketToken) -> SealingKey {
    SealingKey::with_fixed_nonce(&token.key().derive(Purpose::TicketSeal))
}
