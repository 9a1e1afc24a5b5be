//! How many tickets each caller got from each policy that limits them.

use crate::model::ticket_limit::TicketLimit;
use crate::tickets::caller_limits::COUNTED_FOR;
use crate::tickets::owner::Owner;
use crate::tickets::ticket::microseconds;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// The maximum number of counts. With more, the half that was raised longest ago is forgotten.
const MAX_COUNTS: usize = 200_000;
/// The interval of forgetting old counts, in seconds.
const FORGET_EVERY: u64 = 60;

/// The counts by caller and policy.
#[derive(Default)]
pub struct Counts {
    by_caller: HashMap<(Owner, Arc<str>), Count>,
    /// The second of the last time that old ones were forgotten.
    looked: i64,
}

#[derive(Clone, Copy, Default)]
struct Count {
    issued: u32,
    /// The time of the last ticket, in microseconds of the epoch.
    last_at: i64,
}

impl Counts {
    /// Whether the caller has fewer tickets than each limit allows.
    pub fn have_room(&self, owner: Owner, limits: &[TicketLimit]) -> bool {
        limits.iter().all(|limit| {
            let count = self.by_caller.get(&(owner, limit.policy.clone()));
            count.is_none_or(|count| count.issued < limit.max)
        })
    }

    /// Counts a ticket.
    pub fn add(&mut self, owner: Owner, limits: &[TicketLimit], issued_at: i64) {
        if self.by_caller.len() + limits.len() > MAX_COUNTS {
            self.halve();
        }
        for limit in limits {
            let count = self.by_caller.entry((owner, limit.policy.clone())).or_default();
            *count = Count { issued: count.issued.saturating_add(1), last_at: issued_at };
        }
    }

    /// Counts a ticket no longer, because it did not become durable.
    pub fn take_back(&mut self, owner: Owner, limits: &[TicketLimit]) {
        for limit in limits {
            if let Some(count) = self.by_caller.get_mut(&(owner, limit.policy.clone())) {
                count.issued = count.issued.saturating_sub(1);
            }
        }
    }

    /// Forgets counts that were not raised for long.
    pub fn forget(&mut self, now: Timestamp) {
        if now.as_second().abs_diff(self.looked) < FORGET_EVERY {
            return;
        }
        self.looked = now.as_second();
        let before = microseconds(now.saturating_sub(COUNTED_FOR).unwrap_or(Timestamp::MIN));
        self.by_caller.retain(|_, count| count.last_at > before);
    }

    fn halve(&mut self) {
        let mut times: Vec<i64> = self.by_caller.values().map(|count| count.last_at).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let mut excess = middle;
        self.by_caller.retain(|_, count| {
            let goes = count.last_at <= median && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::Identity;

    fn owner(number: usize) -> Owner {
        Owner::of(&Identity::Pod { issuer: "i".into(), uid: number.to_string() })
    }

    fn limit(max: u32) -> [TicketLimit; 1] {
        [TicketLimit { policy: "p".into(), max }]
    }

    #[test]
    fn counts_end_a_week_after_the_last_ticket_and_not_before() {
        let mut counts = Counts::default();
        let at = Timestamp::UNIX_EPOCH + COUNTED_FOR;
        counts.add(owner(1), &limit(1), microseconds(at));
        counts.forget(at + COUNTED_FOR - std::time::Duration::from_mins(1));
        assert!(!counts.have_room(owner(1), &limit(1)));
        assert!(counts.have_room(owner(1), &limit(2)) && counts.have_room(owner(2), &limit(1)));
        counts.forget(at + COUNTED_FOR);
        assert!(counts.have_room(owner(1), &limit(1)));
    }

    #[test]
    fn a_ticket_that_did_not_become_durable_is_not_counted() {
        let mut counts = Counts::default();
        counts.add(owner(1), &limit(1), 0);
        counts.take_back(owner(1), &limit(1));
        assert!(counts.have_room(owner(1), &limit(1)));
    }

    #[test]
    fn their_number_is_bounded_and_the_newest_stay() {
        let mut counts = Counts::default();
        for number in 0..=MAX_COUNTS {
            counts.add(owner(number), &limit(1), i64::try_from(number).expect("small"));
        }
        assert!(counts.by_caller.len() <= MAX_COUNTS / 2 + 1, "{}", counts.by_caller.len());
        assert!(!counts.have_room(owner(MAX_COUNTS), &limit(1)) && counts.have_room(owner(0), &limit(1)));
    }
}
