//! The details of a ticket. Most of them are equal in all tickets of a build; that part is stored once.

use crate::tickets::ticket_codec::{self, OWN_BYTES};
use std::sync::Arc;

/// The encoded ticket, in two parts.
pub struct Details {
    own: [u8; OWN_BYTES],
    shared: Arc<[u8]>,
}

impl Details {
    /// Splits the bytes. If `others` equals the shared part, it is used instead of a copy.
    pub fn new(bytes: &[u8], others: Option<&Arc<[u8]>>) -> Self {
        let (own, shared) = bytes.split_first_chunk().map_or(([0; OWN_BYTES], bytes), |(own, shared)| (*own, shared));
        let shared = others.filter(|others| ***others == *shared).map_or_else(|| shared.into(), Arc::clone);
        Self { own, shared }
    }

    /// The part that other tickets may share.
    pub const fn shared(&self) -> &Arc<[u8]> {
        &self.shared
    }

    /// The time of issue, in microseconds since 1970.
    pub fn issued_at(&self) -> i64 {
        ticket_codec::times(&self.own).0
    }

    /// The time of expiry, in microseconds since 1970.
    pub fn expires_at(&self) -> i64 {
        ticket_codec::times(&self.own).1
    }

    /// All bytes in their original order.
    pub fn whole(&self) -> Arc<[u8]> {
        // Not collected from an iterator, which would copy them one by one.
        [self.own.as_slice(), &self.shared].concat().into()
    }
}
