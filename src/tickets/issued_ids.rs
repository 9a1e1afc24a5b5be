//! Ids that tell who issued them: the last bytes are a code over the first, under a key of the broker's.
//!
//! So a broker knows without asking the database that it never issued an id that somebody has made up. It is no proof: the
//! ticket's own key is that.

use crate::model::ticket::{ID_BYTES, TicketToken};
use crate::sealing::digest::{self, MacKey};
use crate::sealing::keys::{Purpose, RootKey};
use crate::sealing::random::{self, NoRandomness};

/// Bytes of the code. What stands before it is still random enough to meet no other id.
const CODE_BYTES: usize = 6;
const RANDOM_BYTES: usize = ID_BYTES - CODE_BYTES;

/// Makes and recognises ids.
pub struct IssuedIds(MacKey);

impl IssuedIds {
    /// Under a key of this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new() -> Result<Self, NoRandomness> {
        Ok(Self::keyed(&RootKey::random()?))
    }

    /// Under a key that the replicas share.
    #[must_use]
    pub fn keyed(key: &RootKey) -> Self {
        Self(MacKey::new(key.derive(Purpose::TicketIds).as_bytes()))
    }

    /// A fresh token.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn fresh(&self) -> Result<TicketToken, NoRandomness> {
        let mut id = [0; ID_BYTES];
        random::fill(&mut id[..RANDOM_BYTES])?;
        let code = self.code(&id);
        id[RANDOM_BYTES..].copy_from_slice(&code);
        TicketToken::with_id(id)
    }

    /// Whether the id of a token was made here or by another replica. Version 0.1 made ids without a code.
    #[must_use]
    pub fn recognises(&self, token: &TicketToken) -> bool {
        digest::equal(&self.code(token.id()), &token.id()[RANDOM_BYTES..])
    }

    fn code(&self, id: &[u8; ID_BYTES]) -> [u8; CODE_BYTES] {
        digest::short(&self.0.sign(&id[..RANDOM_BYTES]))
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
