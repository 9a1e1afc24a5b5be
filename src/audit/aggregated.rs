//! Events that any client can cause at will (invalid tokens, unknown tickets), aggregated and written at most once a second.
//!
//! If a count was written in ten consecutive seconds, it is then written only every ten seconds while its cause
//! continues.

use super::log::AuditLog;
use super::port::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::{Caller, Identity};
use crate::model::ipv6_prefix::ipv6_prefix;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of counts. Further events are counted without their address and caller.
const MAX_SUMS: usize = 1024;
/// After this many consecutive seconds with a write, a count is written at this interval in seconds.
const SLOW_INTERVAL_AFTER: u32 = 10;
const SLOW_INTERVAL: u32 = 10;

/// Counts that are not written yet.
#[derive(Debug, Default)]
pub struct Aggregated {
    sums: Mutex<HashMap<Key, Sum>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: EventType,
    outcome: Outcome,
    reason: &'static str,
    /// IPv6 addresses are reduced to their /64, as in rate limits.
    source_ip: Option<IpAddr>,
    /// The account of the caller, where the token is valid.
    account: Option<Identity>,
}

#[derive(Debug, Default)]
struct Sum {
    count: u64,
    /// The caller of the key's account.
    caller: Option<Arc<Caller>>,
    /// Consecutive writes.
    in_a_row: u32,
    /// Number of flushes until it is written.
    waits: u32,
}

impl Aggregated {
    /// Counts an event.
    pub fn add(&self, kind: EventType, outcome: Outcome, reason: &'static str, source_ip: IpAddr) {
        let source_ip = Some(ipv6_prefix(source_ip));
        self.count(Key { kind, outcome, reason, source_ip, account: None }, None);
    }

    /// Counts an event of a caller whose token is valid.
    pub fn add_of(
        &self,
        caller: &Arc<Caller>,
        kind: EventType,
        outcome: Outcome,
        reason: &'static str,
        source_ip: IpAddr,
    ) {
        let (source_ip, account) = (Some(ipv6_prefix(source_ip)), Some(caller.quota_identity()));
        self.count(Key { kind, outcome, reason, source_ip, account }, Some(caller));
    }

    fn count(&self, mut key: Key, mut caller: Option<&Arc<Caller>>) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.len() >= MAX_SUMS && !sums.contains_key(&key) {
            (key.source_ip, key.account, caller) = (None, None, None);
        }
        let sum = sums.entry(key).or_default();
        sum.count += 1;
        if sum.caller.is_none() {
            sum.caller = caller.cloned();
        }
    }

    /// Passes due counts to the log. Called once a second.
    pub fn flush(&self, log: &AuditLog) {
        self.due().into_iter().for_each(|event| log.record_later(event));
    }

    /// Passes all counts to the log at the end of the process.
    pub fn flush_all(&self, log: &AuditLog) {
        let sums = std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, sum) in sums.into_iter().filter(|(_, sum)| sum.count > 0) {
            log.record_later(event(&key, sum.caller, sum.count));
        }
    }

    fn due(&self) -> Vec<Event> {
        let mut events = Vec::new();
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, sum| {
            if sum.waits > 0 {
                sum.waits -= 1;
                return true;
            }
            if sum.count == 0 {
                return false;
            }
            events.push(event(key, sum.caller.clone(), std::mem::take(&mut sum.count)));
            sum.in_a_row += 1;
            sum.waits = if sum.in_a_row >= SLOW_INTERVAL_AFTER { SLOW_INTERVAL - 1 } else { 0 };
            true
        });
        events
    }
}

fn event(key: &Key, caller: Option<Arc<Caller>>, count: u64) -> Event {
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

    fn add(aggregated: &Aggregated, source_ip: IpAddr) {
        aggregated.add(EventType::AuthnFailed, Outcome::Denied, "malformed_token", source_ip);
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded_and_loses_no_count() {
        let aggregated = Aggregated::default();
        for n in 0..100_000_u32 {
            add(&aggregated, IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        let events = aggregated.due();
        assert_eq!(events.len(), MAX_SUMS + 1);
        assert_eq!(events.iter().filter_map(|event| event.count).sum::<u64>(), 100_000);
    }

    #[test]
    fn callers_of_one_address_are_counted_apart_and_named() {
        let caller = |subject: &str| {
            Arc::new(Caller {
                issuer: "cluster".into(),
                subject: subject.into(),
                groups: Vec::new(),
                workload: None,
                unbound: None,
                claims: serde_json::Map::new(),
            })
        };
        let (aggregated, address) = (Aggregated::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        for subject in ["a", "b", "a"] {
            aggregated.add_of(&caller(subject), EventType::AuthnFailed, Outcome::Denied, "not_pod_bound", address);
        }
        let named = |event: Event| (event.caller.map(|caller| caller.subject.clone()), event.count);
        let mut told: Vec<_> = aggregated.due().into_iter().map(named).collect();
        told.sort();
        assert_eq!(told, [(Some("a".into()), Some(2)), (Some("b".into()), Some(1))]);
        for number in 0..5000 {
            let caller = caller(&number.to_string());
            aggregated.add_of(&caller, EventType::AuthnFailed, Outcome::Denied, "not_pod_bound", address);
        }
        let events = aggregated.due();
        assert!(events.len() <= MAX_SUMS + 1, "{}", events.len());
        assert_eq!(events.iter().filter_map(|event| event.count).sum::<u64>(), 5000);
        assert_eq!(events.iter().filter(|event| event.caller.is_none()).count(), 1, "the rest is counted without");
    }

    #[test]
    fn a_whole_ipv6_network_is_one_sum_and_the_next_another() {
        let aggregated = Aggregated::default();
        for n in 0..5000_u128 {
            add(&aggregated, IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0000_0001 << 64) | n)));
        }
        add(&aggregated, "2001:db8:0:2::1".parse().expect("an address"));
        let mut told: Vec<_> = aggregated.due().into_iter().map(|event| (event.source_ip, event.count)).collect();
        told.sort();
        let network = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(told, [(network("2001:db8:0:1::"), Some(5000)), (network("2001:db8:0:2::"), Some(1))]);
    }

    #[test]
    fn what_goes_on_is_written_every_ten_seconds_and_no_count_is_lost() {
        let aggregated = Aggregated::default();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (mut written, mut counted) = (0, 0);
        for _ in 0..100 {
            (0..7).for_each(|_| add(&aggregated, address));
            let events = aggregated.due();
            written += events.len();
            counted += events.iter().filter_map(|event| event.count).sum::<u64>();
        }
        assert_eq!((written, counted), (19, 700));
        // After a pause it is written at once again.
        assert!(
            (0..11).all(|_| aggregated.due().is_empty()) && aggregated.sums.lock().expect("not poisoned").is_empty()
        );
        add(&aggregated, address);
        assert_eq!(aggregated.due().len(), 1);
    }
}
