//! The `Idempotency-Key` of a download, by which the same redeemer may repeat it.

use super::ticket::TicketId;
use crate::sealing::digest::{Digest, sha256};

/// The longest key in characters.
const MAX_CHARS: usize = 255;

/// 1 to 255 visible ASCII characters. Kept as a digest only.
pub struct IdempotencyKey(String);

/// The text is not a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be 1 to 255 visible ASCII characters")]
pub struct NotAKey;

impl IdempotencyKey {
    /// The digest that is stored for one ticket. Ids have one length, so no other pair has the same input.
    #[must_use]
    pub fn digest(&self, ticket: TicketId) -> Digest {
        sha256(&[ticket.as_bytes(), self.0.as_bytes()].concat())
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = NotAKey;

    fn try_from(text: &str) -> Result<Self, NotAKey> {
        let good = (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(NotAKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ticket::TicketToken;

    #[test]
    fn takes_what_a_header_may_hold_and_bounds_it() {
        for good in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", &"x".repeat(255), "\"quoted\""] {
            assert!(IdempotencyKey::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\tb", "é", "a\u{7f}", &"x".repeat(256)] {
            assert!(IdempotencyKey::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_digest_tells_keys_and_tickets_apart() {
        let [one, other] = [(); 2].map(|()| TicketToken::random().expect("random bytes").ticket_id());
        let [a, b] = ["a", "b"].map(|text| IdempotencyKey::try_from(text).expect("a key"));
        assert_eq!(a.digest(one), IdempotencyKey::try_from("a").expect("a key").digest(one));
        assert_ne!(a.digest(one), b.digest(one));
        assert_ne!(a.digest(one), a.digest(other));
    }
}
