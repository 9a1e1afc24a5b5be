//! Sealing and opening: AES-256-GCM under a key that is in the URL alone.
//!
//! From the URL's key two others are derived (HKDF-SHA-256, RFC 5869): one seals the bundle, the other is kept as the
//! verifier, which proves the key without opening anything. The associated data binds the sealed bundle to everything that
//! was decided about it, so that a row moved, mixed or edited at rest does not open.

use super::bundle_codec::{self, NotABundle};
use super::{Ticket, ticket_codec};
use crate::model::bundle::Bundle;
use crate::model::ticket::{NoRandomness, TicketToken};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;
/// The largest sealed bundle of a ticket, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 16 * 1024 * 1024;

/// A sealed bundle, the verifier of its key, and the ticket that it is bound to, as they rest.
#[derive(Clone)]
pub struct Sealed {
    /// Proves the key.
    pub(super) verifier: [u8; 32],
    /// The ticket, by `ticket_codec`: associated data of the ciphertext, byte for byte.
    pub(super) details: Arc<[u8]>,
    /// Ciphertext and tag; empty once it is forgotten.
    pub(super) blob: Arc<[u8]>,
}

/// The bundle cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key or the associated data is not the one it was sealed under.
    #[error("the bundle does not open")]
    DoesNotOpen,
    /// The bundle cannot be encoded or decoded.
    #[error(transparent)]
    NotABundle(#[from] NotABundle),
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
        SystemRandom::new().fill(&mut epoch).map_err(|_| NoRandomness)?;
        Ok(Self { epoch })
    }

    /// The epoch of a database's key: of all replicas that share it, as long as they do.
    #[must_use]
    pub fn keyed(database_key: &[u8; 32]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, database_key), b"claviger ticket epoch v1");
        let mut epoch = [0; 16];
        epoch.copy_from_slice(&tag.as_ref()[..16]);
        Self { epoch }
    }

    /// Seals a bundle under the token's key, bound to the ticket.
    ///
    /// # Errors
    /// When the bundle is too large.
    pub fn seal(&self, bundle: &Bundle, token: &TicketToken, ticket: &Ticket) -> Result<Sealed, SealError> {
        let details = ticket_codec::encode(ticket);
        let mut bytes = bundle_codec::encode(bundle, TAG_BYTES)?;
        if bytes.len() + TAG_BYTES > MAX_BUNDLE_BYTES {
            return Err(SealError::TooLarge);
        }
        let key = sealing_key(token)?;
        key.seal_in_place_append_tag(nonce(), Aad::from(self.associated_data(&details)), &mut *bytes)
            .map_err(|_| SealError::DoesNotOpen)?;
        // What leaves is ciphertext; the buffer it was made in is overwritten when dropped.
        Ok(Sealed { verifier: verifier(token)?, details: details.into(), blob: bytes.as_slice().into() })
    }

    /// Opens a sealed bundle.
    ///
    /// # Errors
    /// When the key, the epoch or anything about the ticket is another than it was sealed for.
    pub fn open(&self, sealed: &Sealed, token: &TicketToken) -> Result<Bundle, SealError> {
        let key = sealing_key(token)?;
        let mut bytes = Zeroizing::new(sealed.blob.to_vec());
        let plain = key
            .open_in_place(nonce(), Aad::from(self.associated_data(&sealed.details)), &mut bytes)
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(bundle_codec::decode(plain)?)
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
        verifier(token).is_ok_and(|verifier| verify_slices_are_equal(&verifier, &self.verifier).is_ok())
    }

    /// The size of the sealed bundle in bytes; 0 once it is forgotten.
    #[must_use]
    pub fn size(&self) -> usize {
        self.blob.len()
    }
}

/// The key seals one message and no other, so that its nonce may be fixed.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(token: &TicketToken, purpose: &'static [u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let mut derived = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, b"claviger ticket v1")
        .extract(token.key())
        .expand(&[purpose], Length(32))
        .and_then(|material| material.fill(&mut *derived))
        .map_err(|_| SealError::DoesNotOpen)?;
    Ok(derived)
}

fn verifier(token: &TicketToken) -> Result<[u8; 32], SealError> {
    Ok(*derive(token, b"verify")?)
}

fn sealing_key(token: &TicketToken) -> Result<LessSafeKey, SealError> {
    let key = derive(token, b"seal")?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| SealError::DoesNotOpen)?))
}
