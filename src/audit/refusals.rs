//! Refusals that one caller can cause at will: the first ten in a minute are recorded individually, further ones are counted.
//!
//! A refusal releases nothing, so a count that is lost with the process leaves no release unrecorded.

use super::log::AuditLog;
use super::port::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Identity;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Individually recorded refusals of one caller and reason in each minute.
pub const INDIVIDUAL_PER_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_mins(1);
/// The delay of the first count, and the factor of each following delay.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const DELAY_FACTOR: u32 = 5;
/// Maximum number of callers and reasons. Further refusals are counted without their caller.
const MAX_SUMS: usize = 8192;

/// The refusals of the last minute.
#[derive(Debug, Default)]
pub struct Refusals {
    sums: Mutex<HashMap<Key, Sum>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: EventType,
    outcome: Outcome,
    reason: Option<&'static str>,
    /// The identity for limits.
    caller: Option<Identity>,
}

#[derive(Debug)]
struct Sum {
    began: Instant,
    individual: u32,
    /// The common fields of the counted refusals, and their number.
    counted: Option<(Event, u64)>,
    due: Instant,
    wait: Duration,
}

impl Refusals {
    /// Whether a refusal is recorded individually. Otherwise it is counted.
    #[must_use]
    pub fn admit(&self, event: &Event) -> bool {
        let mut key = Key {
            kind: event.kind,
            outcome: event.outcome,
            reason: event.reason,
            caller: event.caller.as_ref().map(|caller| caller.quota_identity()),
        };
        let now = Instant::now();
        let mut sums = self.lock();
        if sums.len() >= MAX_SUMS && !sums.contains_key(&key) {
            key.caller = None;
        }
        let anonymous = key.caller.is_none();
        let sum = sums.entry(key).or_insert_with(|| Sum::new(now));
        if sum.counted.is_none() && now >= sum.began + MINUTE {
            *sum = Sum::new(now);
        }
        if sum.individual < INDIVIDUAL_PER_MINUTE {
            sum.individual += 1;
            return true;
        }
        match &mut sum.counted {
            Some((common, count)) => {
                keep_common(common, event);
                *count += 1;
            }
            none => {
                let mut common = without_request(event);
                if anonymous {
                    common.caller = None;
                }
                *none = Some((common, 1));
                sum.due = now + sum.wait;
            }
        }
        false
    }

    /// Passes due counts to the log. Called once a second.
    pub fn flush(&self, log: &AuditLog) {
        for event in self.due(Instant::now()) {
            log.record_later(event);
        }
    }

    /// Passes all counts to the log at the end of the process.
    pub fn flush_all(&self, log: &AuditLog) {
        for event in self.lock().drain().filter_map(|(_, sum)| Some(counted(sum.counted?))) {
            log.record_later(event);
        }
    }

    fn due(&self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.lock().retain(|_, sum| {
            let ends = now >= sum.began + MINUTE;
            if (ends || now >= sum.due)
                && let Some(taken) = sum.counted.take()
            {
                events.push(counted(taken));
                sum.wait *= DELAY_FACTOR;
            }
            !ends
        });
        events
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Sum>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum {
    const fn new(now: Instant) -> Self {
        Self { began: now, individual: 0, counted: None, due: now, wait: FIRST_DELAY }
    }
}

fn counted((mut event, count): (Event, u64)) -> Event {
    event.count = Some(count);
    event
}

/// The fields of a count with a single refusal.
fn without_request(event: &Event) -> Event {
    let mut common = Event::new(event.kind, event.outcome);
    common.reason = event.reason;
    common.caller.clone_from(&event.caller);
    common.source_ip = event.source_ip;
    common.repo.clone_from(&event.repo);
    common.branch.clone_from(&event.branch);
    common.policies.clone_from(&event.policies);
    common.ticket_id = event.ticket_id;
    common
}

/// Removes fields that differ in another refusal.
fn keep_common(common: &mut Event, event: &Event) {
    common.source_ip = common.source_ip.filter(|_| common.source_ip == event.source_ip);
    common.ticket_id = common.ticket_id.filter(|_| common.ticket_id == event.ticket_id);
    if common.repo != event.repo {
        common.repo = None;
    }
    if common.branch != event.branch {
        common.branch = None;
    }
    if common.policies != event.policies {
        common.policies.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::branch::Branch;
    use crate::model::caller::Caller;
    use crate::model::repo::Repo;
    use std::sync::Arc;

    fn refusal(subject: &str, branch: &str) -> Event {
        let mut event = Event::new(EventType::TicketDenied, Outcome::Denied);
        event.reason = Some("no_policy");
        event.caller = Some(Arc::new(Caller {
            issuer: "ci".into(),
            subject: subject.into(),
            groups: Vec::new(),
            workload: None,
            unbound: None,
            claims: serde_json::Map::new(),
        }));
        event.repo = Repo::try_from("site").ok();
        event.branch = Branch::try_from(branch).ok();
        event
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_caller_is_a_few_events_and_none_of_it_is_lost() {
        let refusals = Refusals::default();
        let (mut written, mut counts) = (0, Vec::new());
        // Fifty per second for two minutes.
        for second in 0..120 {
            for number in 0..50 {
                written += u64::from(refusals.admit(&refusal("flood", &format!("b{second}-{number}"))));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            counts.extend(refusals.due(Instant::now()));
        }
        let counted: u64 = counts.iter().filter_map(|event| event.count).sum();
        assert_eq!(written + counted, 120 * 50);
        assert_eq!(written, 20, "ten in each minute");
        assert!(counts.len() <= 10, "{}", counts.len());
        for event in &counts {
            assert_eq!(event.repo.as_ref().map(Repo::as_str), Some("site"), "what they have in common is kept");
            assert_eq!(event.branch, None);
            assert_eq!(event.caller.as_ref().map(|caller| &*caller.subject), Some("flood"));
        }
        assert!(refusals.admit(&refusal("other", "main")), "another caller is not counted with it");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_quiet_minute_refusals_are_written_one_by_one_again() {
        let refusals = Refusals::default();
        assert_eq!((0..30).filter(|_| refusals.admit(&refusal("a", "main"))).count(), 10);
        tokio::time::advance(MINUTE).await;
        assert_eq!(refusals.due(Instant::now()).iter().filter_map(|event| event.count).sum::<u64>(), 20);
        assert!(refusals.lock().is_empty());
        assert_eq!((0..30).filter(|_| refusals.admit(&refusal("a", "main"))).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_callers_stays_bounded() {
        let refusals = Refusals::default();
        let written = (0..20_000).filter(|n| refusals.admit(&refusal(&format!("c{n}"), "main"))).count();
        assert_eq!(refusals.lock().len(), MAX_SUMS + 1);
        assert_eq!(written, MAX_SUMS + 10);
        tokio::time::advance(MINUTE).await;
        let counts = refusals.due(Instant::now());
        let rest = u64::try_from(20_000 - MAX_SUMS - 10).expect("not negative");
        assert_eq!(counts.iter().map(|event| event.count).collect::<Vec<_>>(), [Some(rest)]);
        assert_eq!(counts[0].caller, None);
    }
}
