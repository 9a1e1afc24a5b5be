//! Aggregates events that any client can cause at will (invalid tokens, unknown tickets): equal events are counted, and each
//! count is written at most once a second.
//!
//! A count that was written in ten consecutive seconds is then written every ten seconds, until its events stop.

use super::log::AuditLog;
use super::port::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::{Caller, Identity};
use crate::model::ipv6_prefix::ipv6_prefix;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of counts. Beyond it, events are counted without their address and caller.
const MAX_COUNTS: usize = 1024;
/// Number of consecutive writes after which a count is written only every [`SLOW_INTERVAL_SECONDS`].
const SLOW_INTERVAL_AFTER: u32 = 10;
const SLOW_INTERVAL_SECONDS: u32 = 10;

/// The counts of events that are not written yet.
#[derive(Debug, Default)]
pub struct AggregatedEvents {
    counts: Mutex<HashMap<CountKey, Count>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CountKey {
    kind: EventType,
    outcome: Outcome,
    reason: &'static str,
    /// IPv6 addresses are reduced to their /64, as in rate limits.
    source_ip: Option<IpAddr>,
    /// Of the caller, if the token is valid.
    quota_identity: Option<Identity>,
}

#[derive(Debug, Default)]
struct Count {
    /// Number of events since the last write.
    events: u64,
    /// The first caller that was counted. All callers of a count have the same quota identity.
    caller: Option<Arc<Caller>>,
    consecutive_writes: u32,
    /// Number of seconds until the count may be written again.
    remaining_seconds: u32,
}

impl AggregatedEvents {
    /// Counts an event.
    pub fn add(&self, kind: EventType, outcome: Outcome, reason: &'static str, source_ip: IpAddr) {
        let source_ip = Some(ipv6_prefix(source_ip));
        self.count(CountKey { kind, outcome, reason, source_ip, quota_identity: None }, None);
    }

    /// Counts an event of a caller whose token is valid.
    pub fn add_for_caller(
        &self,
        caller: &Arc<Caller>,
        kind: EventType,
        outcome: Outcome,
        reason: &'static str,
        source_ip: IpAddr,
    ) {
        let (source_ip, quota_identity) = (Some(ipv6_prefix(source_ip)), Some(caller.quota_identity()));
        self.count(CountKey { kind, outcome, reason, source_ip, quota_identity }, Some(caller));
    }

    fn count(&self, mut key: CountKey, mut caller: Option<&Arc<Caller>>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTS && !counts.contains_key(&key) {
            (key.source_ip, key.quota_identity, caller) = (None, None, None);
        }
        let count = counts.entry(key).or_default();
        count.events += 1;
        if count.caller.is_none() {
            count.caller = caller.cloned();
        }
    }

    /// Queues the due counts for the audit log. Must be called once a second. While the log cannot be written, the counts stay
    /// here, where they take less space.
    pub fn flush(&self, log: &AuditLog) {
        if !log.is_writable() {
            return;
        }
        self.take_due().into_iter().for_each(|event| log.record_later(event));
    }

    /// Queues all counts for the audit log, at the end of the process.
    pub fn flush_all(&self, log: &AuditLog) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, count) in counts.into_iter().filter(|(_, count)| count.events > 0) {
            log.record_later(event(&key, count.caller, count.events));
        }
    }

    fn take_due(&self) -> Vec<Event> {
        let mut events = Vec::new();
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, count| {
            if count.remaining_seconds > 0 {
                count.remaining_seconds -= 1;
                return true;
            }
            if count.events == 0 {
                return false;
            }
            events.push(event(key, count.caller.clone(), std::mem::take(&mut count.events)));
            count.consecutive_writes += 1;
            let is_slow = count.consecutive_writes >= SLOW_INTERVAL_AFTER;
            count.remaining_seconds = if is_slow { SLOW_INTERVAL_SECONDS - 1 } else { 0 };
            true
        });
        events
    }
}

fn event(key: &CountKey, caller: Option<Arc<Caller>>, count: u64) -> Event {
    let mut event = Event::new(key.kind, key.outcome);
    event.caller = caller;
    event.reason = Some(key.reason);
    event.source_ip = key.source_ip;
    event.count = Some(count);
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn add(aggregated: &AggregatedEvents, source_ip: IpAddr) {
        aggregated.add(EventType::AuthnFailed, Outcome::Denied, "malformed_token", source_ip);
    }

    #[test]
    fn beyond_the_maximum_events_are_counted_without_address() {
        let aggregated = AggregatedEvents::default();
        for n in 0..100_000_u32 {
            add(&aggregated, IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        let events = aggregated.take_due();
        assert_eq!(events.len(), MAX_COUNTS + 1);
        assert_eq!(events.iter().filter_map(|event| event.count).sum::<u64>(), 100_000);
    }

    #[test]
    fn callers_of_one_address_are_counted_separately() {
        let caller = |subject: &str| {
            Arc::new(Caller {
                issuer: "cluster".into(),
                subject: subject.into(),
                groups: Vec::new(),
                workload: None,
                unbound_account: None,
                claims: serde_json::Map::new(),
            })
        };
        let (aggregated, address) = (AggregatedEvents::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        for subject in ["a", "b", "a"] {
            aggregated.add_for_caller(
                &caller(subject),
                EventType::AuthnFailed,
                Outcome::Denied,
                "not_pod_bound",
                address,
            );
        }
        let named = |event: Event| (event.caller.map(|caller| caller.subject.clone()), event.count);
        let mut written: Vec<_> = aggregated.take_due().into_iter().map(named).collect();
        written.sort();
        assert_eq!(written, [(Some("a".into()), Some(2)), (Some("b".into()), Some(1))]);
        for number in 0..5000 {
            let caller = caller(&number.to_string());
            aggregated.add_for_caller(&caller, EventType::AuthnFailed, Outcome::Denied, "not_pod_bound", address);
        }
        let events = aggregated.take_due();
        assert!(events.len() <= MAX_COUNTS + 1, "{}", events.len());
        assert_eq!(events.iter().filter_map(|event| event.count).sum::<u64>(), 5000);
        assert_eq!(events.iter().filter(|event| event.caller.is_none()).count(), 1, "the rest is one count");
    }

    #[test]
    fn ipv6_addresses_are_counted_by_their_64_bit_prefix() {
        let aggregated = AggregatedEvents::default();
        for n in 0..5000_u128 {
            add(&aggregated, IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0000_0001 << 64) | n)));
        }
        add(&aggregated, "2001:db8:0:2::1".parse().expect("an address"));
        let mut written: Vec<_> =
            aggregated.take_due().into_iter().map(|event| (event.source_ip, event.count)).collect();
        written.sort();
        let network = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(written, [(network("2001:db8:0:1::"), Some(5000)), (network("2001:db8:0:2::"), Some(1))]);
    }

    #[test]
    fn after_ten_consecutive_writes_a_count_is_written_every_ten_seconds() {
        let aggregated = AggregatedEvents::default();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (mut written, mut counted) = (0, 0);
        for _ in 0..100 {
            (0..7).for_each(|_| add(&aggregated, address));
            let events = aggregated.take_due();
            written += events.len();
            counted += events.iter().filter_map(|event| event.count).sum::<u64>();
        }
        assert_eq!((written, counted), (19, 700));
        // After a pause a count is written at once again.
        assert!(
            (0..11).all(|_| aggregated.take_due().is_empty())
                && aggregated.counts.lock().expect("not poisoned").is_empty()
        );
        add(&aggregated, address);
        assert_eq!(aggregated.take_due().len(), 1);
    }
}
