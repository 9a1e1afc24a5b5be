//! The rate limit of first reviews. A first review is a review of a token that was not accepted before.
//!
//! A review costs the API server a signature check, and anyone can forge a well-formed token. Tokens that were accepted before need
//! not enter this gate. Each first review needs a slot, of which there is a fixed number per second. A token from an address
//! without recent refusals ("failures") takes the next free slot, up to the share of its address. All other tokens take only spare
//! slots: a slot is spare if less than half of the slots of the last second are used. So a flood of forged tokens leaves half of
//! the slots to other addresses.

use super::error::AuthnError;
use super::unverified_token::Fingerprint;
use crate::rates::{RateLimiter, SlidingWindow};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a first review waits for a free slot. The review itself may take 5 s, and the whole request 15 s.
const MAX_WAIT: Duration = Duration::from_secs(4);
/// How long a first review waits for a spare slot.
const MAX_WAIT_FOR_SPARE: Duration = Duration::from_secs(2);
/// Polling interval for a spare slot.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of reviews that wait for a spare slot, over all addresses. Further ones are refused as `Limited`.
const MAX_WAITING: usize = 256;
/// Maximum number of reviews of one address that wait for a spare slot, so that one address does not use up [`MAX_WAITING`].
const MAX_WAITING_PER_ADDRESS: usize = 16;
/// How long claims count as forged after a bad signature.
const FORGED_CLAIMS_TTL: Duration = Duration::from_secs(10);
/// Interval between the reviews of tokens with forged claims from an exhausted address. Such tokens are still reviewed, because the
/// genuine token may have the same claims.
const FORGED_CLAIMS_INTERVAL: Duration = Duration::from_secs(1);

/// The address that a token comes from, and the level of its recent refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressHistory {
    address: IpAddr,
    failures: FailureLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureLevel {
    Clean,
    Failing,
    Exhausted,
}

impl AddressHistory {
    /// An address without recent refusals.
    #[must_use]
    pub const fn clean(address: IpAddr) -> Self {
        Self { address, failures: FailureLevel::Clean }
    }

    /// An address with recent refusals.
    #[must_use]
    pub const fn failing(address: IpAddr) -> Self {
        Self { address, failures: FailureLevel::Failing }
    }

    /// An address that has reached the limit of refusals.
    #[must_use]
    pub const fn exhausted(address: IpAddr) -> Self {
        Self { address, failures: FailureLevel::Exhausted }
    }

    /// Whether the address has no recent refusals.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self.failures == FailureLevel::Clean
    }

    /// Whether the address has reached the limit of refusals.
    #[must_use]
    pub fn is_exhausted(self) -> bool {
        self.failures == FailureLevel::Exhausted
    }
}

/// The limit of first reviews, shared by all clusters.
pub struct ReviewGate {
    window: SlidingWindow,
    /// The share of each address in the total.
    shares: RateLimiter<IpAddr>,
    /// The rate of each exhausted address, for tokens whose claims do not count as forged.
    exhausted_rates: RateLimiter<IpAddr>,
    /// The rate of each exhausted address for tokens with forged claims, so that they do not use up the rate of other tokens.
    forged_claims_rates: RateLimiter<IpAddr>,
    /// The set of claims that count as forged. It limits nothing: a bad signature takes the one unit of its claims, so they are
    /// exhausted for [`FORGED_CLAIMS_TTL`].
    forged_claims: RateLimiter<(IpAddr, Fingerprint)>,
    waiting: Semaphore,
    /// Number of waiting reviews by address; at most [`MAX_WAITING`] entries.
    waiting_by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts a review as waiting until this guard is dropped.
struct WaitingReview<'a> {
    gate: &'a ReviewGate,
    address: IpAddr,
    _permit: SemaphorePermit<'a>,
}

impl Drop for WaitingReview<'_> {
    fn drop(&mut self) {
        let mut waiting_by_address = self.gate.waiting_by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = waiting_by_address.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl ReviewGate {
    /// Allows `per_second` first reviews in any second. The share of an address is two fifths of the slots. An exhausted address
    /// gets at most a tenth of the slots, and only spare ones.
    pub fn new(per_second: NonZeroU32) -> Self {
        let part = |divisor: u32| NonZeroU32::new(per_second.get() / divisor).unwrap_or(NonZeroU32::MIN);
        Self {
            window: SlidingWindow::new(per_second),
            shares: RateLimiter::new(part(5).saturating_mul(NonZeroU32::MIN.saturating_add(1))),
            exhausted_rates: RateLimiter::new(part(10)),
            forged_claims_rates: RateLimiter::one_every(FORGED_CLAIMS_INTERVAL),
            forged_claims: RateLimiter::one_every(FORGED_CLAIMS_TTL),
            waiting: Semaphore::new(MAX_WAITING),
            waiting_by_address: Mutex::default(),
        }
    }

    /// Waits for a slot for the first review of a token. `claims` is the fingerprint of its claims.
    ///
    /// # Errors
    /// No slot is free in time: [`AuthnError::Limited`] for an address with failures or above its share, otherwise
    /// [`AuthnError::Unavailable`].
    pub async fn enter(&self, history: AddressHistory, claims: &Fingerprint) -> Result<(), AuthnError> {
        if history.failures == FailureLevel::Clean && self.shares.charge(history.address) {
            let slot = self.window.reserve(MAX_WAIT).ok_or(AuthnError::Unavailable)?;
            sleep_until(slot).await;
            return Ok(());
        }
        let rates = if self.forged_claims.is_exhausted(&(history.address, *claims)) {
            &self.forged_claims_rates
        } else {
            &self.exhausted_rates
        };
        let _waiting = self.register_waiting(history.address).ok_or(AuthnError::Limited)?;
        let deadline = Instant::now() + MAX_WAIT_FOR_SPARE;
        loop {
            // Takes a unit of the address first. If there is no spare slot then, only this address loses a unit.
            if (!history.is_exhausted() || rates.charge(history.address)) && self.window.take_spare() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(AuthnError::Limited);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Registers a waiting review. `None` if the limit of all addresses or of this one is reached.
    fn register_waiting(&self, address: IpAddr) -> Option<WaitingReview<'_>> {
        let permit = self.waiting.try_acquire().ok()?;
        let mut waiting_by_address = self.waiting_by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting_by_address.get(&address).copied().unwrap_or_default();
        if count >= MAX_WAITING_PER_ADDRESS {
            return None;
        }
        waiting_by_address.insert(address, count + 1);
        Some(WaitingReview { gate: self, address, _permit: permit })
    }

    /// Records that a token with these claims had an invalid signature.
    pub fn record_forged(&self, history: AddressHistory, claims: &Fingerprint) {
        self.forged_claims.charge((history.address, *claims));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: Fingerprint = [1; 32];

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    fn gate(per_second: u32) -> ReviewGate {
        ReviewGate::new(NonZeroU32::new(per_second).expect("not zero"))
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_without_failures_wait_up_to_four_seconds_for_a_slot() {
        let (gate, start) = (gate(50), Instant::now());
        for number in 0..200 {
            assert_eq!(gate.enter(AddressHistory::clean(address(number)), &CLAIMS).await, Ok(()), "{number}");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(3), "50 in each second");
        let gate = std::sync::Arc::new(gate);
        let enter = |number| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(AddressHistory::clean(address(number)), &CLAIMS).await })
        };
        let mut results = Vec::new();
        for task in (0..=250).map(enter).collect::<Vec<_>>() {
            results.push(task.await.expect("no panic"));
        }
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 200, "the slots of four seconds");
        assert_eq!(results.last(), Some(&Err(AuthnError::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_with_failures_get_at_most_half_of_the_slots() {
        let gate = gate(50);
        let mut admitted = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            admitted += u32::from(gate.enter(AddressHistory::failing(address(1)), &CLAIMS).await.is_ok());
        }
        assert!((50..=75).contains(&admitted), "{admitted}");
        let before = Instant::now();
        assert_eq!(gate.enter(AddressHistory::clean(address(2)), &CLAIMS).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_address_gets_a_tenth_of_the_slots() {
        let gate = gate(50);
        let mut admitted = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            admitted += u32::from(gate.enter(AddressHistory::exhausted(address(1)), &CLAIMS).await.is_ok());
        }
        assert!((20..=26).contains(&admitted), "five a second and a burst of five: {admitted}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_does_not_delay_another_address() {
        let gate = std::sync::Arc::new(gate(50));
        let flood = |_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(AddressHistory::clean(address(1)), &CLAIMS).await })
        };
        let all: Vec<_> = (0..1000).map(flood).collect();
        tokio::task::yield_now().await;
        let before = Instant::now();
        assert_eq!(gate.enter(AddressHistory::clean(address(2)), &CLAIMS).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO);
        for task in all {
            let _ = task.await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_waiting_reviews_is_bounded_by_address() {
        let gate = std::sync::Arc::new(gate(10));
        let flood = |number| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(AddressHistory::exhausted(address(number)), &CLAIMS).await })
        };
        let all: Vec<_> = (0..1000).map(|_| flood(1)).collect();
        tokio::task::yield_now().await;
        assert_eq!(gate.waiting_by_address.lock().unwrap().get(&address(1)), Some(&MAX_WAITING_PER_ADDRESS));
        assert!(gate.register_waiting(address(1)).is_none());
        let others: Vec<_> = (2..17).filter_map(|number| gate.register_waiting(address(number))).collect();
        assert_eq!(others.len(), 15, "other addresses can still wait");
        assert_eq!(gate.waiting_by_address.lock().unwrap().len(), 16);
        drop(others);
        assert_eq!(gate.waiting_by_address.lock().unwrap().len(), 1);
        for task in all {
            let _ = task.await;
        }
        assert!(gate.waiting_by_address.lock().unwrap().is_empty());
        assert_eq!(gate.waiting.available_permits(), MAX_WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn forged_claims_do_not_use_up_the_rate_of_other_tokens() {
        let (gate, suspect) = (gate(50), AddressHistory::exhausted(address(1)));
        gate.record_forged(suspect, &CLAIMS);
        assert_eq!(gate.enter(suspect, &CLAIMS).await, Ok(()), "the genuine token may have the same claims");
        let before = Instant::now();
        assert_eq!(gate.enter(suspect, &[2; 32]).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO, "other claims have a separate rate");
        assert_eq!(gate.enter(suspect, &CLAIMS).await, Ok(()));
        assert_eq!(before.elapsed(), FORGED_CLAIMS_INTERVAL);
        for history in [
            AddressHistory::clean(address(1)),
            AddressHistory::failing(address(1)),
            AddressHistory::exhausted(address(2)),
        ] {
            let before = Instant::now();
            assert_eq!(gate.enter(history, &CLAIMS).await, Ok(()));
            assert_eq!(before.elapsed(), Duration::ZERO, "{history:?}");
        }
    }
}
