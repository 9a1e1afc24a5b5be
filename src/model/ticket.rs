//! The public ID of a ticket, and the secret token in its URL.

use crate::sealing::digest::{sha256, truncate};
use crate::sealing::keys::{KEY_BYTES, RootKey};
use crate::sealing::random::{self, RandomError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use zeroize::Zeroizing;

/// Length in bytes of a ticket's public ID, and also of its secret ID.
pub const ID_BYTES: usize = 16;
/// Characters of an ID in URL-safe base64.
const ID_CHARS: usize = 22;
/// URL-safe base64 of the secret ID and of the key (43 characters), with a dot between them.
const TOKEN_CHARS: usize = ID_CHARS + 1 + 43;

/// The public ID of a ticket, in audit events, logs and the admin API: the first half of the SHA-256 of the secret ID.
/// Neither the secret ID nor the key can be derived from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TicketId([u8; ID_BYTES]);

impl TicketId {
    /// The ID with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ID_CHARS];
        URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl std::str::FromStr for TicketId {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        let mut id = [0; ID_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut id) {
            Ok(ID_BYTES) => Ok(Self(id)),
            _ => Err(ParseTicketError),
        }
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketId({self})")
    }
}

/// `<secret ID>.<key>`, the last segment of a download URL, which allows its holder to redeem the ticket.
#[derive(Clone)]
pub struct TicketToken {
    secret_id: [u8; ID_BYTES],
    key: RootKey,
}

/// The text is not a ticket's public ID or token in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a ticket")]
pub struct ParseTicketError;

impl TicketToken {
    /// A random token.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn random() -> Result<Self, RandomError> {
        let mut secret_id = [0; ID_BYTES];
        random::fill(&mut secret_id)?;
        Self::with_secret_id(secret_id)
    }

    /// A token with this secret ID and a random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn with_secret_id(secret_id: [u8; ID_BYTES]) -> Result<Self, RandomError> {
        Ok(Self { secret_id, key: RootKey::random()? })
    }

    /// The secret ID, which is only in the URL. See [`Self::ticket_id`] for the public ID.
    #[must_use]
    pub const fn secret_id(&self) -> &[u8; ID_BYTES] {
        &self.secret_id
    }

    /// The ticket's public ID.
    #[must_use]
    pub fn ticket_id(&self) -> TicketId {
        TicketId(truncate(&sha256(&self.secret_id)))
    }

    /// The root key, from which the keys that seal the bundle and verify the token are derived. It is only in the URL.
    #[must_use]
    pub const fn key(&self) -> &RootKey {
        &self.key
    }

    /// `<secret ID>.<key>`, for the URL.
    #[must_use]
    pub fn to_url_segment(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_CHARS));
        URL_SAFE_NO_PAD.encode_string(self.secret_id, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(self.key.as_bytes(), &mut text);
        text
    }
}

impl std::str::FromStr for TicketToken {
    type Err = ParseTicketError;

    /// Accepts only the canonical form, which [`TicketToken::to_url_segment`] writes. So caches and logs between the pod and
    /// Claviger cannot see one ticket under several URLs.
    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        if text.len() != TOKEN_CHARS {
            return Err(ParseTicketError);
        }
        let (secret_id_text, key_text) = text.split_once('.').ok_or(ParseTicketError)?;
        let (mut secret_id, mut key) = ([0; ID_BYTES], Zeroizing::new([0; KEY_BYTES]));
        // The decoder refuses padding and non-zero trailing bits, so only the canonical form is accepted.
        let id_length = URL_SAFE_NO_PAD.decode_slice(secret_id_text, &mut secret_id).map_err(|_| ParseTicketError)?;
        let key_length = URL_SAFE_NO_PAD.decode_slice(key_text, &mut *key).map_err(|_| ParseTicketError)?;
        if id_length == ID_BYTES && key_length == KEY_BYTES {
            Ok(Self { secret_id, key: RootKey::new(key) })
        } else {
            Err(ParseTicketError)
        }
    }
}

impl fmt::Debug for TicketToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketToken({})", self.ticket_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_parsed() {
        let token = TicketToken::random().expect("random bytes");
        let text = token.to_url_segment();
        let text = text.as_str();
        let again: TicketToken = text.parse().expect("canonical");
        assert_eq!((again.ticket_id(), again.key().as_bytes()), (token.ticket_id(), token.key().as_bytes()));

        let (id, key) = text.split_once('.').expect("a dot");
        for other in [
            format!("{text}="),
            format!(" {text}"),
            format!("{id}..{key}"),
            format!("{key}.{id}"),
            text.replace('.', "%2E"),
            text[..65].to_owned(),
            String::new(),
            ".".into(),
        ] {
            assert!(other.parse::<TicketToken>().is_err(), "{other:?} was accepted");
        }
    }

    #[test]
    fn non_zero_trailing_bits_are_refused() {
        // 16 bytes fill 21 characters and two bits of the 22nd: `A` and `B` there decode to the same bytes in a lax decoder.
        let canonical = format!("{}.{}", "A".repeat(22), "A".repeat(43));
        assert!(canonical.parse::<TicketToken>().is_ok());
        assert!(format!("{}B.{}", "A".repeat(21), "A".repeat(43)).parse::<TicketToken>().is_err());
        assert!(format!("{}.{}B", "A".repeat(22), "A".repeat(42)).parse::<TicketToken>().is_err());
    }

    #[test]
    fn debug_and_the_public_id_do_not_contain_the_token() {
        let token = TicketToken::random().expect("random bytes");
        let text = token.to_url_segment();
        let (id, key) = text.split_once('.').expect("a dot");
        let shown = format!("{token:?} {}", token.ticket_id());
        assert!(!shown.contains(id) && !shown.contains(key));
    }
}
