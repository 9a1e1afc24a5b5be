//! The details of a ticket, of which the most is the same in all tickets of a build: that part is held once.

use crate::tickets::ticket_codec::{self, OWN_BYTES};
use std::sync::Arc;

/// The bytes of a ticket, in two parts.
pub struct Details {
    own: [u8; OWN_BYTES],
    shared: Arc<[u8]>,
}

impl Details {
    /// Takes them apart. What they share with others is not held again, where `others` is that.
    pub fn new(bytes: &[u8], others: Option<&Arc<[u8]>>) -> Self {
        let (own, shared) = bytes.split_first_chunk().map_or(([0; OWN_BYTES], bytes), |(own, shared)| (*own, shared));
        let shared = others.filter(|others| ***others == *shared).map_or_else(|| shared.into(), Arc::clone);
        Self { own, shared }
    }

    /// What others may share.
    pub const fn shared(&self) -> &Arc<[u8]> {
        &self.shared
    }

    /// When the ticket was issued, in microseconds of the epoch.
    pub fn issued_at(&self) -> i64 {
        ticket_codec::times(&self.own).0
    }

    /// When it expires, likewise.
    pub fn expires_at(&self) -> i64 {
        ticket_codec::times(&self.own).1
    }

    /// All of it, as it was.
    pub fn whole(&self) -> Arc<[u8]> {
        self.own.iter().chain(&*self.shared).copied().collect()
    }
}
