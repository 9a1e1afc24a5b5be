//! The broker's own token at a store.

use crate::model::secret::SecretValue;
use crate::stores::current_login::Credentials;
use crate::stores::dynamic_store::GrantedLifetime;
use crate::stores::renewal::renew_after;
use crate::trust::FileStamp;
use bytes::Bytes;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A token and its expiry, as far as known.
#[derive(Debug)]
pub(super) struct Token {
    /// The number of the login. A renewed token keeps it.
    pub(super) number: u64,
    /// The header with the token: marked as sensitive, so `Debug` does not show it, and overwritten on drop.
    pub(super) header: HeaderValue,
    pub(super) expiry: TokenExpiry,
    /// The state of the token file, if the token is from a file.
    pub(super) stamp: Option<FileStamp>,
    /// When the token was requested.
    pub(super) requested_at: Instant,
    /// `None` if the number of uses is unlimited.
    pub(super) uses: Option<Arc<TokenUses>>,
}

/// The uses of a token with `num_uses`. The server counts every call, even if it fails.
#[derive(Debug)]
pub(super) struct TokenUses {
    granted: u32,
    taken: AtomicU32,
}

impl TokenUses {
    /// Creates a count without taken uses.
    pub(super) fn new(granted: u32) -> Arc<Self> {
        Arc::new(Self { granted, taken: AtomicU32::new(0) })
    }

    fn take(&self) -> bool {
        let next = |taken: u32| (taken < self.granted).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Whether at most one use was taken.
    pub(super) fn is_first(&self) -> bool {
        self.taken.load(Ordering::Relaxed) <= 1
    }
}

/// When a token expires.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenExpiry {
    /// The token is from a file and was not looked up yet.
    Unknown,
    /// The token never expires.
    Never,
    /// The token expires.
    Until {
        /// When the token expires.
        end: Instant,
        /// When to renew the token.
        renew_at: Instant,
        /// The store's grant.
        grant: GrantedLifetime,
    },
}

impl TokenExpiry {
    /// The expiry of a token that was requested at this instant. See [`renew_after`].
    pub(super) fn from_grant(requested_at: Instant, grant: GrantedLifetime) -> Self {
        Self::Until { end: requested_at + grant.ttl, renew_at: requested_at + renew_after(grant.ttl), grant }
    }
}

impl Credentials for Token {
    fn number(&self) -> u64 {
        self.number
    }
}

impl Token {
    /// Whether the token has expired.
    pub(super) fn has_expired(&self) -> bool {
        matches!(self.expiry, TokenExpiry::Until { end, .. } if end <= Instant::now())
    }

    /// The same token with another expiry.
    pub(super) fn with_expiry(&self, expiry: TokenExpiry) -> Self {
        let (header, uses) = (self.header.clone(), self.uses.clone());
        Self { number: self.number, header, expiry, stamp: self.stamp, requested_at: self.requested_at, uses }
    }

    /// Takes one use. Returns false if no use is left.
    pub(super) fn take_use(&self) -> bool {
        self.uses.as_ref().is_none_or(|uses| uses.take())
    }

    /// The number of the login under which leases are created. 0 for a token with limited uses, with which only one lease is
    /// created.
    pub(super) fn lease_login_number(&self) -> u64 {
        if self.uses.is_some() { 0 } else { self.number }
    }
}

/// The value of `X-Vault-Token`. `None` if the token is not a valid header value.
#[expect(clippy::disallowed_methods, reason = "the token is kept only as the header that is sent")]
pub(super) fn token_header(token: &SecretValue) -> Option<HeaderValue> {
    let text = token.expose_secret();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let bytes = Bytes::from_owner(Zeroizing::new(text.as_bytes().to_vec()));
    let mut header = HeaderValue::from_maybe_shared(bytes).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_after_about_two_thirds_of_its_lifetime() {
        let ttl = Duration::from_hours(1);
        let now = Instant::now();
        for _ in 0..100 {
            let TokenExpiry::Until { end, renew_at, .. } =
                TokenExpiry::from_grant(now, GrantedLifetime { ttl, renewable: true })
            else {
                panic!("a grant has an end");
            };
            assert_eq!(end - now, ttl);
            let share = (renew_at - now).as_secs_f64() / ttl.as_secs_f64();
            assert!((0.59..0.71).contains(&share), "{share}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_expires_at_the_end_of_its_lifetime() {
        let header = token_header(&SecretValue::new("s.x".into())).unwrap();
        let token = Token {
            number: 1,
            header,
            expiry: TokenExpiry::Unknown,
            stamp: None,
            requested_at: Instant::now(),
            uses: None,
        };
        let grant = GrantedLifetime { ttl: Duration::from_secs(10), renewable: true };
        let expiring = token.with_expiry(TokenExpiry::from_grant(Instant::now(), grant));
        let endless = token.with_expiry(TokenExpiry::Never);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!expiring.has_expired());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(expiring.has_expired() && !endless.has_expired() && !token.has_expired());
    }

    #[test]
    fn with_expiry_shares_the_count_of_uses() {
        let header = token_header(&SecretValue::new("s.x".into())).unwrap();
        let uses = Some(TokenUses::new(3));
        let token =
            Token { number: 7, header, expiry: TokenExpiry::Unknown, stamp: None, requested_at: Instant::now(), uses };
        assert!(token.take_use() && token.uses.as_ref().unwrap().is_first());
        let known = token.with_expiry(TokenExpiry::Never);
        assert!(known.take_use() && !token.uses.as_ref().unwrap().is_first());
        assert!(token.take_use() && !token.take_use() && !known.take_use());
        assert_eq!(token.lease_login_number(), 0);
        let unlimited = Token { uses: None, ..token };
        assert!((0..100).all(|_| unlimited.take_use()));
        assert_eq!(unlimited.lease_login_number(), 7);
    }

    #[test]
    fn a_token_that_is_not_a_valid_header_is_refused() {
        let header = |text: &str| token_header(&SecretValue::new(text.into()));
        for text in ["", "a b", "a\n", "a\r\nX-Evil: 1", "\0", "é"] {
            assert!(header(text).is_none(), "{text:?}");
        }
        assert_eq!(format!("{:?}", header("hunter2").unwrap()), "Sensitive");
    }
}
