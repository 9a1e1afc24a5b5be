//! Limits the events of refusals that one caller can cause at will: the first ten of a minute are recorded individually,
//! further ones are counted.
//!
//! A refusal releases no secret, so a count that is lost with the process hides no release.

use super::log::AuditLog;
use super::port::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Identity;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Number of refusals that are recorded individually, for each caller and reason in each minute.
pub const INDIVIDUAL_PER_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_mins(1);
/// The time after which the first count is recorded, and the factor by which this time grows for each further count.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const DELAY_FACTOR: u32 = 5;
/// Maximum number of pairs of caller and reason. Beyond it, refusals are counted without their caller.
const MAX_KEYS: usize = 8192;

/// The refusals of the last minute.
#[derive(Debug, Default)]
pub struct Refusals {
    minutes: Mutex<HashMap<RefusalKey, RefusalMinute>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RefusalKey {
    kind: EventType,
    outcome: Outcome,
    reason: Option<&'static str>,
    /// The quota identity of the caller.
    caller: Option<Identity>,
}

/// The refusals of one key in one minute.
#[derive(Debug)]
struct RefusalMinute {
    started_at: Instant,
    /// Number of individually recorded refusals.
    recorded: u32,
    /// The common fields of the counted refusals, and their number.
    counted: Option<(Event, u64)>,
    /// When the count is recorded.
    count_due_at: Instant,
    count_delay: Duration,
}

impl Refusals {
    /// Returns true if the refusal is to be recorded individually. Otherwise counts it, and returns false.
    #[must_use]
    pub fn admit_or_count(&self, event: &Event) -> bool {
        let mut key = RefusalKey {
            kind: event.kind,
            outcome: event.outcome,
            reason: event.reason,
            caller: event.caller.as_ref().map(|caller| caller.quota_identity()),
        };
        let now = Instant::now();
        let mut minutes = self.lock();
        if minutes.len() >= MAX_KEYS && !minutes.contains_key(&key) {
            key.caller = None;
        }
        let is_anonymous = key.caller.is_none();
        let minute = minutes.entry(key).or_insert_with(|| RefusalMinute::new(now));
        if minute.counted.is_none() && now >= minute.started_at + MINUTE {
            *minute = RefusalMinute::new(now);
        }
        if minute.recorded < INDIVIDUAL_PER_MINUTE {
            minute.recorded += 1;
            return true;
        }
        match &mut minute.counted {
            Some((common, count)) => {
                retain_common_fields(common, event);
                *count += 1;
            }
            none => {
                let mut common = without_request(event);
                if is_anonymous {
                    common.caller = None;
                }
                *none = Some((common, 1));
                minute.count_due_at = now + minute.count_delay;
            }
        }
        false
    }

    /// Queues the due counts for the audit log. Must be called once a second. While the log cannot be written, the counts stay
    /// here, where they take less space.
    pub fn flush(&self, log: &AuditLog) {
        if !log.is_writable() {
            return;
        }
        for event in self.take_due(Instant::now()) {
            log.record_later(event);
        }
    }

    /// Queues all counts for the audit log, at the end of the process.
    pub fn flush_all(&self, log: &AuditLog) {
        for event in self.lock().drain().filter_map(|(_, minute)| Some(with_count(minute.counted?))) {
            log.record_later(event);
        }
    }

    /// Takes the counts that are due, and removes the minutes that have ended.
    fn take_due(&self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.lock().retain(|_, minute| {
            let has_ended = now >= minute.started_at + MINUTE;
            if (has_ended || now >= minute.count_due_at)
                && let Some(counted) = minute.counted.take()
            {
                events.push(with_count(counted));
                minute.count_delay *= DELAY_FACTOR;
            }
            !has_ended
        });
        events
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RefusalKey, RefusalMinute>> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefusalMinute {
    const fn new(now: Instant) -> Self {
        Self { started_at: now, recorded: 0, counted: None, count_due_at: now, count_delay: FIRST_DELAY }
    }
}

fn with_count((mut event, count): (Event, u64)) -> Event {
    event.count = Some(count);
    event
}

/// A copy of the event without the fields that belong to a single request.
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

/// Removes the fields from `common` that differ in `event`.
fn retain_common_fields(common: &mut Event, event: &Event) {
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
            unbound_account: None,
            claims: serde_json::Map::new(),
        }));
        event.repo = Repo::try_from("site").ok();
        event.branch = Branch::try_from(branch).ok();
        event
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_ten_a_minute_refusals_of_a_caller_are_counted() {
        let refusals = Refusals::default();
        let (mut written, mut counts) = (0, Vec::new());
        // Fifty per second for two minutes.
        for second in 0..120 {
            for number in 0..50 {
                written += u64::from(refusals.admit_or_count(&refusal("flood", &format!("b{second}-{number}"))));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            counts.extend(refusals.take_due(Instant::now()));
        }
        let counted: u64 = counts.iter().filter_map(|event| event.count).sum();
        assert_eq!(written + counted, 120 * 50);
        assert_eq!(written, 20, "ten in each minute");
        assert!(counts.len() <= 10, "{}", counts.len());
        for event in &counts {
            assert_eq!(event.repo.as_ref().map(Repo::as_str), Some("site"), "the common fields are kept");
            assert_eq!(event.branch, None);
            assert_eq!(event.caller.as_ref().map(|caller| &*caller.subject), Some("flood"));
        }
        assert!(refusals.admit_or_count(&refusal("other", "main")), "another caller is not counted with it");
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_next_minute_refusals_are_recorded_individually_again() {
        let refusals = Refusals::default();
        assert_eq!((0..30).filter(|_| refusals.admit_or_count(&refusal("a", "main"))).count(), 10);
        tokio::time::advance(MINUTE).await;
        assert_eq!(refusals.take_due(Instant::now()).iter().filter_map(|event| event.count).sum::<u64>(), 20);
        assert!(refusals.lock().is_empty());
        assert_eq!((0..30).filter(|_| refusals.admit_or_count(&refusal("a", "main"))).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_maximum_refusals_are_counted_without_caller() {
        let refusals = Refusals::default();
        let written = (0..20_000).filter(|n| refusals.admit_or_count(&refusal(&format!("c{n}"), "main"))).count();
        assert_eq!(refusals.lock().len(), MAX_KEYS + 1);
        assert_eq!(written, MAX_KEYS + 10);
        tokio::time::advance(MINUTE).await;
        let counts = refusals.take_due(Instant::now());
        let rest = u64::try_from(20_000 - MAX_KEYS - 10).expect("not negative");
        assert_eq!(counts.iter().map(|event| event.count).collect::<Vec<_>>(), [Some(rest)]);
        assert_eq!(counts[0].caller, None);
    }
}
