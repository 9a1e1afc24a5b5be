//! Number of tickets that each caller got from each policy with a limit.

use crate::model::ticket_limit::TicketLimit;
use crate::tickets::caller_limits::COUNT_RETENTION;
use crate::tickets::owner_digest::OwnerDigest;
use crate::tickets::ticket::to_microseconds;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum number of counts. Beyond it, the half that was increased longest ago is removed.
const MAX_COUNTS: usize = 200_000;
/// Minimum time between two deletions of old counts.
const DELETION_INTERVAL_SECONDS: u64 = 60;

/// Counts by caller and policy.
#[derive(Default)]
pub struct TicketCounts {
    by_caller_and_policy: HashMap<(OwnerDigest, Arc<str>), Count>,
    /// Time of the last deletion of old counts, in seconds since 1970.
    last_deletion: i64,
}

#[derive(Clone, Copy, Default)]
struct Count {
    issued: u32,
    /// Time of issue of the last ticket, in microseconds since 1970.
    last_at: i64,
}

impl TicketCounts {
    /// Whether the caller has fewer tickets than each limit allows.
    pub fn is_below_limits(&self, owner: OwnerDigest, limits: &[TicketLimit]) -> bool {
        limits.iter().all(|limit| {
            let count = self.by_caller_and_policy.get(&(owner, limit.policy.clone()));
            count.is_none_or(|count| count.issued < limit.max)
        })
    }

    /// Adds a ticket to the counts of these policies.
    pub fn add(&mut self, owner: OwnerDigest, limits: &[TicketLimit], issued_at: i64) {
        if self.by_caller_and_policy.len() + limits.len() > MAX_COUNTS {
            self.remove_older_half();
        }
        for limit in limits {
            let count = self.by_caller_and_policy.entry((owner, limit.policy.clone())).or_default();
            *count = Count { issued: count.issued.saturating_add(1), last_at: issued_at };
        }
    }

    /// Subtracts a ticket that was added but did not become durable.
    pub fn subtract(&mut self, owner: OwnerDigest, limits: &[TicketLimit]) {
        for limit in limits {
            if let Some(count) = self.by_caller_and_policy.get_mut(&(owner, limit.policy.clone())) {
                count.issued = count.issued.saturating_sub(1);
            }
        }
    }

    /// Deletes counts that were not increased for [`COUNT_RETENTION`], at most once a minute.
    pub fn delete_old(&mut self, now: Timestamp) {
        if now.as_second().abs_diff(self.last_deletion) < DELETION_INTERVAL_SECONDS {
            return;
        }
        self.last_deletion = now.as_second();
        let before = to_microseconds(now.saturating_sub(COUNT_RETENTION).unwrap_or(Timestamp::MIN));
        self.by_caller_and_policy.retain(|_, count| count.last_at > before);
    }

    fn remove_older_half(&mut self) {
        let mut times: Vec<i64> = self.by_caller_and_policy.values().map(|count| count.last_at).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let mut excess = middle;
        self.by_caller_and_policy.retain(|_, count| {
            let is_removed = count.last_at <= median && excess > 0;
            excess -= usize::from(is_removed);
            !is_removed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::Identity;

    fn owner(number: usize) -> OwnerDigest {
        OwnerDigest::from_identity(&Identity::Pod { issuer: "i".into(), uid: number.to_string() })
    }

    fn limit(max: u32) -> [TicketLimit; 1] {
        [TicketLimit { policy: "p".into(), max }]
    }

    #[test]
    fn counts_are_kept_for_a_week_after_the_last_ticket() {
        let mut counts = TicketCounts::default();
        let at = Timestamp::UNIX_EPOCH + COUNT_RETENTION;
        counts.add(owner(1), &limit(1), to_microseconds(at));
        counts.delete_old(at + COUNT_RETENTION - std::time::Duration::from_mins(1));
        assert!(!counts.is_below_limits(owner(1), &limit(1)));
        assert!(counts.is_below_limits(owner(1), &limit(2)) && counts.is_below_limits(owner(2), &limit(1)));
        counts.delete_old(at + COUNT_RETENTION);
        assert!(counts.is_below_limits(owner(1), &limit(1)));
    }

    #[test]
    fn a_ticket_that_did_not_become_durable_is_not_counted() {
        let mut counts = TicketCounts::default();
        counts.add(owner(1), &limit(1), 0);
        counts.subtract(owner(1), &limit(1));
        assert!(counts.is_below_limits(owner(1), &limit(1)));
    }

    #[test]
    fn beyond_the_maximum_the_newest_counts_are_kept() {
        let mut counts = TicketCounts::default();
        for number in 0..=MAX_COUNTS {
            counts.add(owner(number), &limit(1), i64::try_from(number).expect("small"));
        }
        assert!(counts.by_caller_and_policy.len() <= MAX_COUNTS / 2 + 1, "{}", counts.by_caller_and_policy.len());
        assert!(!counts.is_below_limits(owner(MAX_COUNTS), &limit(1)) && counts.is_below_limits(owner(0), &limit(1)));
    }
}
