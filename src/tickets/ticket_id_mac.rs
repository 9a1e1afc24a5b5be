//! Secret IDs of tickets that end in a message authentication code (MAC): a truncated HMAC of the random bytes before it.
//!
//! By the MAC, Claviger detects invented IDs without a database query. The MAC does not authorise a download; the ticket's key
//! does.

use crate::model::ticket::{ID_BYTES, TicketToken};
use crate::sealing::digest::{self, MacKey};
use crate::sealing::keys::{Purpose, RootKey};
use crate::sealing::random::{self, RandomError};

/// Size of the MAC in bytes. The random bytes before it suffice to avoid collisions.
const MAC_BYTES: usize = 6;
const RANDOM_BYTES: usize = ID_BYTES - MAC_BYTES;

/// Generates ticket tokens and verifies their IDs.
pub struct TicketIdMac(MacKey);

impl TicketIdMac {
    /// With a random key of this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new_random() -> Result<Self, RandomError> {
        Ok(Self::from_database_key(&RootKey::random()?))
    }

    /// With a key derived from the database key, which all replicas share.
    #[must_use]
    pub fn from_database_key(key: &RootKey) -> Self {
        Self(MacKey::new(key.derive(Purpose::TicketIds).as_bytes()))
    }

    /// Generates a random token whose ID ends in a MAC.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate_token(&self) -> Result<TicketToken, RandomError> {
        let mut id = [0; ID_BYTES];
        random::fill(&mut id[..RANDOM_BYTES])?;
        let mac = self.mac(&id);
        id[RANDOM_BYTES..].copy_from_slice(&mac);
        TicketToken::with_secret_id(id)
    }

    /// Whether the MAC in the token's ID is valid: a process with the same key generated it. False for the IDs of version 0.1.0,
    /// which have no MAC.
    #[must_use]
    pub fn verify(&self, token: &TicketToken) -> bool {
        digest::constant_time_eq(&self.mac(token.secret_id()), &token.secret_id()[RANDOM_BYTES..])
    }

    fn mac(&self, id: &[u8; ID_BYTES]) -> [u8; MAC_BYTES] {
        digest::truncate(&self.0.sign(&id[..RANDOM_BYTES]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_generated_with_the_same_key_are_valid() {
        let (shared, another) = (RootKey::random().expect("random bytes"), RootKey::random().expect("random bytes"));
        let [first, replica, stranger] = [&shared, &shared, &another].map(TicketIdMac::from_database_key);
        for _ in 0..100 {
            let token = first.generate_token().expect("random bytes");
            assert!(first.verify(&token) && replica.verify(&token) && !stranger.verify(&token));
            let parsed: TicketToken = token.to_url_segment().parse().expect("a ticket");
            assert!(first.verify(&parsed));
            assert!(!first.verify(&TicketToken::random().expect("random bytes")));
        }
    }
}
