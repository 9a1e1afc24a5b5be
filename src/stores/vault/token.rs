//! The broker's own token at a store.

use crate::model::secret::SecretValue;
use crate::stores::dynamic::Lifetime;
use crate::stores::login::Credentials;
use crate::stores::renewal::renew_after;
use crate::trust::FileStamp;
use bytes::Bytes;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A token and its known lifetime.
#[derive(Debug)]
pub(super) struct Token {
    /// The number of its login. A renewed token keeps it.
    pub(super) number: u64,
    /// The header, marked sensitive (`Debug` shows nothing) and overwritten on drop.
    pub(super) header: HeaderValue,
    /// Its lifetime.
    pub(super) lifetime: TokenExpiry,
    /// The state of its file, if it came from one.
    pub(super) stamp: Option<FileStamp>,
    /// When it was requested.
    pub(super) since: Instant,
    /// Number of calls that it can be used for; `None` if unlimited.
    pub(super) uses: Option<Arc<Uses>>,
}

/// The uses of a limited token. The server counts every call, failed ones included.
#[derive(Debug)]
pub(super) struct Uses {
    granted: u32,
    taken: AtomicU32,
}

impl Uses {
    /// Creates a count without taken uses.
    pub(super) fn new(granted: u32) -> Arc<Self> {
        Arc::new(Self { granted, taken: AtomicU32::new(0) })
    }

    fn take(&self) -> bool {
        let more = |taken: u32| (taken < self.granted).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Whether at most one use was taken.
    pub(super) fn is_first(&self) -> bool {
        self.taken.load(Ordering::Relaxed) <= 1
    }
}

/// The lifetime of a token.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenExpiry {
    /// From a file, not looked up yet.
    Unknown,
    /// It never expires.
    Endless,
    /// It expires.
    Until {
        /// When it expires.
        end: Instant,
        /// When to renew it.
        renew_at: Instant,
        /// The store's grant.
        grant: Lifetime,
    },
}

impl TokenExpiry {
    /// The lifetime of a token that was requested at this instant. See [`renew_after`].
    pub(super) fn from_grant(requested_at: Instant, grant: Lifetime) -> Self {
        Self::Until { end: requested_at + grant.ttl, renew_at: requested_at + renew_after(grant.ttl), grant }
    }
}

impl Credentials for Token {
    fn number(&self) -> u64 {
        self.number
    }
}

impl Token {
    /// Whether it has expired.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.lifetime, TokenExpiry::Until { end, .. } if end <= Instant::now())
    }

    /// The same token with another lifetime.
    pub(super) fn with_lifetime(&self, lifetime: TokenExpiry) -> Self {
        let (header, uses) = (self.header.clone(), self.uses.clone());
        Self { number: self.number, header, lifetime, stamp: self.stamp, since: self.since, uses }
    }

    /// Takes one use. `false` if none is left.
    pub(super) fn take_use(&self) -> bool {
        self.uses.as_ref().is_none_or(|uses| uses.take())
    }

    /// The number of the session in which leases are created. 0 for a limited token, which is used for one lease.
    pub(super) fn session(&self) -> u64 {
        if self.uses.is_some() { 0 } else { self.number }
    }
}

/// A token as a header; `None` if it is not a valid one.
#[expect(clippy::disallowed_methods, reason = "it becomes the header that is sent, the only form in which it is kept")]
pub(super) fn header(token: &SecretValue) -> Option<HeaderValue> {
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
    async fn a_token_is_renewed_after_about_two_thirds_of_its_life() {
        let ttl = Duration::from_hours(1);
        let now = Instant::now();
        for _ in 0..100 {
            let TokenExpiry::Until { end, renew_at, .. } =
                TokenExpiry::from_grant(now, Lifetime { ttl, renewable: true })
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
        let header = header(&SecretValue::new("s.x".into())).unwrap();
        let token =
            Token { number: 1, header, lifetime: TokenExpiry::Unknown, stamp: None, since: Instant::now(), uses: None };
        let grant = Lifetime { ttl: Duration::from_secs(10), renewable: true };
        let mortal = token.with_lifetime(TokenExpiry::from_grant(Instant::now(), grant));
        let endless = token.with_lifetime(TokenExpiry::Endless);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!mortal.has_ended());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(mortal.has_ended() && !endless.has_ended() && !token.has_ended());
    }

    #[test]
    fn the_number_of_uses_survives_a_change_of_the_lifetime() {
        let header = header(&SecretValue::new("s.x".into())).unwrap();
        let uses = Some(Uses::new(3));
        let token =
            Token { number: 7, header, lifetime: TokenExpiry::Unknown, stamp: None, since: Instant::now(), uses };
        assert!(token.take_use() && token.uses.as_ref().unwrap().is_first());
        let known = token.with_lifetime(TokenExpiry::Endless);
        assert!(known.take_use() && !token.uses.as_ref().unwrap().is_first());
        assert!(token.take_use() && !token.take_use() && !known.take_use());
        assert_eq!(token.session(), 0);
        let unlimited = Token { uses: None, ..token };
        assert!((0..100).all(|_| unlimited.take_use()));
        assert_eq!(unlimited.session(), 7);
    }

    #[test]
    fn a_token_that_is_not_a_valid_header_is_refused() {
        let header = |text: &str| header(&SecretValue::new(text.into()));
        for text in ["", "a b", "a\n", "a\r\nX-Evil: 1", "\0", "é"] {
            assert!(header(text).is_none(), "{text:?}");
        }
        assert_eq!(format!("{:?}", header("hunter2").unwrap()), "Sensitive");
    }
}
