//! Ticket ids with a code: the last bytes are a truncated HMAC of the first, under a key of the broker.
//!
//! The broker detects invented ids without a database query. The code proves nothing to anyone else; the ticket's key does.

use crate::model::ticket::{ID_BYTES, TicketToken};
use crate::sealing::digest::{self, MacKey};
use crate::sealing::keys::{Purpose, RootKey};
use crate::sealing::random::{self, RandomError};

/// Bytes of the code. The random bytes before it are enough to avoid collisions.
const CODE_BYTES: usize = 6;
const RANDOM_BYTES: usize = ID_BYTES - CODE_BYTES;

/// Makes and recognises ids.
pub struct IssuedIds(MacKey);

impl IssuedIds {
    /// IDs with a random key of this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new() -> Result<Self, RandomError> {
        Ok(Self::keyed(&RootKey::random()?))
    }

    /// IDs with a key derived from the database key, which replicas share.
    #[must_use]
    pub fn keyed(key: &RootKey) -> Self {
        Self(MacKey::new(key.derive(Purpose::TicketIds).as_bytes()))
    }

    /// A random token whose id has a code.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn fresh(&self) -> Result<TicketToken, RandomError> {
        let mut id = [0; ID_BYTES];
        random::fill(&mut id[..RANDOM_BYTES])?;
        let code = self.code(&id);
        id[RANDOM_BYTES..].copy_from_slice(&code);
        TicketToken::with_id(id)
    }

    /// Whether this or another replica made the id of a token. Ids of version 0.1.0 have no code.
    #[must_use]
    pub fn recognises(&self, token: &TicketToken) -> bool {
        digest::constant_time_eq(&self.code(token.id()), &token.id()[RANDOM_BYTES..])
    }

    fn code(&self, id: &[u8; ID_BYTES]) -> [u8; CODE_BYTES] {
        digest::truncate(&self.0.sign(&id[..RANDOM_BYTES]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_recognised_by_whoever_has_the_key_and_no_other_id_is() {
        let (shared, another) = (RootKey::random().expect("random bytes"), RootKey::random().expect("random bytes"));
        let (one, replica, other) = (IssuedIds::keyed(&shared), IssuedIds::keyed(&shared), IssuedIds::keyed(&another));
        for _ in 0..100 {
            let token = one.fresh().expect("random bytes");
            assert!(one.recognises(&token) && replica.recognises(&token) && !other.recognises(&token));
            let again: TicketToken = token.to_url_segment().parse().expect("a ticket");
            assert!(one.recognises(&again));
            assert!(!one.recognises(&TicketToken::random().expect("random bytes")));
        }
    }
}
