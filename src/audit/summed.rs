//! Events that anyone can cause at will (bad bearers, unknown tickets): summed, and written once a second.

use super::{AuditLog, Event};
use crate::metrics::labels::{EventType, Outcome};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Sums kept between two flushes. Beyond, further addresses are summed without their address.
const MAX_SUMS: usize = 1024;

/// The sums since the last flush.
#[derive(Debug, Default)]
pub struct Summed {
    counts: Mutex<HashMap<Key, u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    kind: EventType,
    outcome: Outcome,
    reason: &'static str,
    source_ip: Option<IpAddr>,
}

impl Summed {
    /// Counts one.
    pub fn add(&self, kind: EventType, outcome: Outcome, reason: &'static str, source_ip: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key { kind, outcome, reason, source_ip: Some(source_ip) };
        if counts.len() >= MAX_SUMS && !counts.contains_key(&key) {
            key.source_ip = None;
        }
        *counts.entry(key).or_default() += 1;
    }

    /// Hands the sums over to the log and starts anew. To be called once a second, and at the end.
    pub fn flush(&self, log: &AuditLog) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, count) in counts {
            let mut event = Event::new(key.kind, key.outcome);
            event.reason = Some(key.reason);
            event.source_ip = key.source_ip;
            event.count = Some(count);
            log.record_later(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_flood_from_everywhere_stays_bounded_and_loses_no_count() {
        let summed = Summed::default();
        for n in 0..100_000_u32 {
            summed.add(EventType::AuthnFailed, Outcome::Denied, "malformed_token", IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        let counts = summed.counts.lock().expect("not poisoned");
        assert_eq!(counts.len(), MAX_SUMS + 1);
        assert_eq!(counts.values().sum::<u64>(), 100_000);
    }
}
