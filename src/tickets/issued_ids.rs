//! Ids that tell who issued them: the last bytes are a code over the first, under a key of the broker's.
//!
//! So a broker knows without asking the database that it never issued an id that somebody has made up. It is no proof: the
//! ticket's own key is that.

use crate::model::ticket::{ID_BYTES, NoRandomness, TicketToken};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Bytes of the code. What stands before it is still random enough to meet no other id.
const CODE_BYTES: usize = 6;
const RANDOM_BYTES: usize = ID_BYTES - CODE_BYTES;
const CONTEXT: &[u8] = b"claviger ticket ids";

/// Makes and recognises ids.
pub struct IssuedIds(hmac::Key);

impl IssuedIds {
    /// Under a key of this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new() -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| NoRandomness)?;
        Ok(Self(key))
    }

    /// Under a key that the replicas share.
    #[must_use]
    pub fn keyed(key: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), CONTEXT);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// A fresh token.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn fresh(&self) -> Result<TicketToken, NoRandomness> {
        let mut id = [0; ID_BYTES];
        SystemRandom::new().fill(&mut id[..RANDOM_BYTES]).map_err(|_| NoRandomness)?;
        let code = self.code(&id);
        id[RANDOM_BYTES..].copy_from_slice(&code);
        TicketToken::with_id(id)
    }

    /// Whether the id of a token was made here or by another replica. Version 0.1 made ids without a code.
    #[must_use]
    pub fn recognises(&self, token: &TicketToken) -> bool {
        verify_slices_are_equal(&self.code(token.id()), &token.id()[RANDOM_BYTES..]).is_ok()
    }

    fn code(&self, id: &[u8; ID_BYTES]) -> [u8; CODE_BYTES] {
        let mut code = [0; CODE_BYTES];
        code.copy_from_slice(&hmac::sign(&self.0, &id[..RANDOM_BYTES]).as_ref()[..CODE_BYTES]);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_recognised_by_whoever_has_the_key_and_no_other_id_is() {
        let (one, replica, other) =
            (IssuedIds::keyed(&[1; 32]), IssuedIds::keyed(&[1; 32]), IssuedIds::keyed(&[2; 32]));
        for _ in 0..100 {
            let token = one.fresh().expect("random bytes");
            assert!(one.recognises(&token) && replica.recognises(&token) && !other.recognises(&token));
            let again: TicketToken = token.to_url_segment().parse().expect("a ticket");
            assert!(one.recognises(&again));
            assert!(!one.recognises(&TicketToken::random().expect("random bytes")));
        }
    }
}
