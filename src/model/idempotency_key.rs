//! The `Idempotency-Key` of a download. With the same key, the redeemer of a ticket may repeat its download.

use super::ticket::TicketId;
use crate::sealing::digest::{Digest, sha256};

/// Maximum length in characters.
const MAX_CHARS: usize = 255;

/// An idempotency key: 1 to 255 visible ASCII characters. Only its digest is stored.
pub struct IdempotencyKey(String);

/// The text is not a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be 1 to 255 visible ASCII characters")]
pub struct ParseIdempotencyKeyError;

impl IdempotencyKey {
    /// The digest of this key for one ticket. All ids have the same length, so different pairs have different digests.
    #[must_use]
    pub fn digest(&self, ticket: TicketId) -> Digest {
        sha256(&[ticket.as_bytes(), self.0.as_bytes()].concat())
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = ParseIdempotencyKeyError;

    fn try_from(text: &str) -> Result<Self, ParseIdempotencyKeyError> {
        let is_valid = (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_valid { Ok(Self(text.to_owned())) } else { Err(ParseIdempotencyKeyError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ticket::TicketToken;

    #[test]
    fn accepts_1_to_255_visible_ascii_characters() {
        for good in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", &"x".repeat(255), "\"quoted\""] {
            assert!(IdempotencyKey::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\tb", "é", "a\u{7f}", &"x".repeat(256)] {
            assert!(IdempotencyKey::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_digest_depends_on_key_and_ticket() {
        let [one, other] = [(); 2].map(|()| TicketToken::random().expect("random bytes").ticket_id());
        let [a, b] = ["a", "b"].map(|text| IdempotencyKey::try_from(text).expect("a key"));
        assert_eq!(a.digest(one), IdempotencyKey::try_from("a").expect("a key").digest(one));
        assert_ne!(a.digest(one), b.digest(one));
        assert_ne!(a.digest(one), a.digest(other));
    }
}
