//! An encoded ticket, split so that the tickets of one caller can share the bytes in which they agree.

use crate::tickets::ticket_codec::{self, OWN_PART_BYTES};
use std::sync::Arc;

/// An encoded ticket in two parts.
pub struct EncodedTicket {
    own_part: [u8; OWN_PART_BYTES],
    shared: Arc<[u8]>,
}

impl EncodedTicket {
    /// Splits the bytes. If `candidate` equals the shareable part, the bytes of `candidate` are used instead of a copy.
    pub fn new(bytes: &[u8], candidate: Option<&Arc<[u8]>>) -> Self {
        let (own_part, shared) =
            bytes.split_first_chunk().map_or(([0; OWN_PART_BYTES], bytes), |(own_part, shared)| (*own_part, shared));
        let shared = candidate.filter(|candidate| ***candidate == *shared).map_or_else(|| shared.into(), Arc::clone);
        Self { own_part, shared }
    }

    /// The shareable part.
    pub const fn shared(&self) -> &Arc<[u8]> {
        &self.shared
    }

    /// The time of issue, in microseconds since 1970.
    pub fn issued_at(&self) -> i64 {
        ticket_codec::decode_times(&self.own_part).0
    }

    /// The time of expiry, in microseconds since 1970.
    pub fn expires_at(&self) -> i64 {
        ticket_codec::decode_times(&self.own_part).1
    }

    /// The whole encoded ticket.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        // `concat`, because collecting from an iterator copies byte by byte.
        [self.own_part.as_slice(), &self.shared].concat().into()
    }
}
