//! Sealing and opening: AES-256-GCM under a key that is in the URL alone.
//!
//! From the URL's key two others are derived (HKDF-SHA-256, RFC 5869): one seals the bundle, the other is kept as the
//! verifier, which proves the key without opening anything. The associated data binds the sealed bundle to everything that
//! was decided about it, so that a row moved, mixed or edited at rest does not open.

use super::Ticket;
use super::bundle_codec::{self, NotABundle};
use crate::model::bundle::Bundle;
use crate::model::ticket::{NoRandomness, TicketToken};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;

/// A sealed bundle and the verifier of its key.
#[derive(Clone)]
pub struct Sealed {
    /// Proves the key.
    verifier: [u8; 32],
    /// Ciphertext and tag.
    blob: Arc<[u8]>,
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
}

/// Seals under this replica's epoch: what was sealed before a restart is not opened after it.
pub struct Sealer {
    epoch: [u8; 16],
}

impl Sealer {
    /// A new epoch.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut epoch = [0; 16];
        SystemRandom::new().fill(&mut epoch).map_err(|_| NoRandomness)?;
        Ok(Self { epoch })
    }

    /// Seals a bundle under the token's key, bound to the ticket.
    ///
    /// # Errors
    /// When the bundle is too large to encode.
    pub fn seal(&self, bundle: &Bundle, token: &TicketToken, ticket: &Ticket) -> Result<Sealed, SealError> {
        let mut bytes = bundle_codec::encode(bundle, TAG_BYTES)?;
        let key = sealing_key(token)?;
        key.seal_in_place_append_tag(nonce(), Aad::from(self.associated_data(ticket)), &mut *bytes)
            .map_err(|_| SealError::DoesNotOpen)?;
        // What leaves is ciphertext; the buffer it was made in is overwritten when dropped.
        Ok(Sealed { verifier: verifier(token)?, blob: bytes.as_slice().into() })
    }

    /// Opens a sealed bundle.
    ///
    /// # Errors
    /// When the key or the ticket is another than it was sealed for.
    pub fn open(&self, sealed: &Sealed, token: &TicketToken, ticket: &Ticket) -> Result<Bundle, SealError> {
        let key = sealing_key(token)?;
        let mut bytes = Zeroizing::new(sealed.blob.to_vec());
        let plain = key
            .open_in_place(nonce(), Aad::from(self.associated_data(ticket)), &mut bytes)
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(bundle_codec::decode(plain)?)
    }

    /// Every part behind its length, so that no two tickets have the same associated data.
    fn associated_data(&self, ticket: &Ticket) -> Vec<u8> {
        let pod_uid = ticket.caller.workload.as_ref().map_or("", |workload| &workload.pod.uid);
        let expiry = ticket.expires_at.as_nanosecond().to_le_bytes();
        let mut data = Vec::with_capacity(256);
        for part in [
            b"claviger ticket v1".as_slice(),
            &self.epoch,
            ticket.id.as_bytes(),
            ticket.caller.issuer.as_bytes(),
            ticket.caller.subject.as_bytes(),
            pod_uid.as_bytes(),
            ticket.bind_to.as_str().as_bytes(),
            &expiry,
        ]
        .into_iter()
        .chain(ticket.policies.iter().flat_map(|policy| [policy.name.as_bytes(), policy.revision.as_bytes()]))
        {
            data.extend((part.len() as u64).to_le_bytes());
            data.extend(part);
        }
        data
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

    /// Forgets the bundle and keeps the verifier.
    pub fn forget(&mut self) {
        self.blob = Arc::default();
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
