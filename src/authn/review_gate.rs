//! Limits the reviews per second of tokens that were not accepted before, and orders them.
//!
//! A review costs the API server a signature check, and anyone can forge a well-formed token. Tokens that were
//! accepted before are never delayed. Of the others, tokens from addresses without recent failures take the next
//! free place. Tokens from addresses with failures take only spare places, so that a flood of forged tokens leaves
//! half of the places to others.

use super::error::AuthnError;
use super::unverified::Fingerprint;
use crate::rates::{RateLimiter, SlidingWindow};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a first review waits for a place. The review itself may take 5 s, and a request 15 s.
const MAX_WAIT: Duration = Duration::from_secs(4);
/// The same for an address with failures.
const MAX_WAIT_AFTER_FAILURES: Duration = Duration::from_secs(2);
/// Polling interval for a spare place.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of reviews that wait for a spare place, over all addresses.
const MAX_WAITING: usize = 256;
/// The same for one address: more would take places from all others.
const MAX_WAITING_PER_ADDRESS: usize = 16;
/// How long claims count as forged after a bad signature.
const FORGED_CLAIMS_TTL: Duration = Duration::from_secs(10);
/// For an exhausted address, interval between reviews of tokens with forged claims: the next token may be the
/// genuine one.
const FORGED_CLAIMS_INTERVAL: Duration = Duration::from_secs(1);

/// The recent refusals of the address that a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressHistory {
    address: IpAddr,
    record: FailureRecord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureRecord {
    Clean,
    Failing,
    Exhausted,
}

impl AddressHistory {
    /// No recent refusals.
    #[must_use]
    pub const fn clean(address: IpAddr) -> Self {
        Self { address, record: FailureRecord::Clean }
    }

    /// Recent refusals.
    #[must_use]
    pub const fn failing(address: IpAddr) -> Self {
        Self { address, record: FailureRecord::Failing }
    }

    /// Refusals up to the limit.
    #[must_use]
    pub const fn exhausted(address: IpAddr) -> Self {
        Self { address, record: FailureRecord::Exhausted }
    }

    /// Whether the limit of refusals is reached.
    #[must_use]
    pub fn is_exhausted(self) -> bool {
        self.record == FailureRecord::Exhausted
    }
}

/// The limit of first reviews, shared by all clusters.
pub struct ReviewGate {
    window: SlidingWindow,
    /// First reviews of each address: a fair share of the total.
    shares: RateLimiter<IpAddr>,
    /// The reserved rate of each exhausted address.
    exhausted_rates: RateLimiter<IpAddr>,
    /// The reserved rate for forged claims, so that they do not use that of other tokens.
    forged_claims_rates: RateLimiter<IpAddr>,
    forged: RateLimiter<(IpAddr, Fingerprint)>,
    waiting: Semaphore,
    /// Number of waiting reviews by address; at most as many entries as reviews may wait.
    waiting_by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts as waiting until it is dropped.
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
    /// `per_second` first reviews in any second. An address gets at most two fifths of them before it must wait
    /// for spare places, and a tenth when it is exhausted.
    pub fn new(per_second: NonZeroU32) -> Self {
        let part = |divisor: u32| NonZeroU32::new(per_second.get() / divisor).unwrap_or(NonZeroU32::MIN);
        Self {
            window: SlidingWindow::new(per_second),
            shares: RateLimiter::new(part(5).saturating_mul(NonZeroU32::MIN.saturating_add(1))),
            exhausted_rates: RateLimiter::new(part(10)),
            forged_claims_rates: RateLimiter::one_every(FORGED_CLAIMS_INTERVAL),
            forged: RateLimiter::one_every(FORGED_CLAIMS_TTL),
            waiting: Semaphore::new(MAX_WAITING),
            waiting_by_address: Mutex::default(),
        }
    }

    /// Waits until a token may be reviewed for the first time. `claims` is the fingerprint of its claims.
    ///
    /// # Errors
    /// [`AuthnError::Limited`] if the address has failures, [`AuthnError::Unavailable`] otherwise.
    pub async fn enter(&self, history: AddressHistory, claims: &Fingerprint) -> Result<(), AuthnError> {
        if history.record == FailureRecord::Clean && self.shares.charge(history.address) {
            let place = self.window.reserve(MAX_WAIT).ok_or(AuthnError::Unavailable)?;
            sleep_until(place).await;
            return Ok(());
        }
        let exhausted_rates = if self.forged.is_exhausted(&(history.address, *claims)) {
            &self.forged_claims_rates
        } else {
            &self.exhausted_rates
        };
        let _waiting = self.register_waiting(history.address).ok_or(AuthnError::Limited)?;
        let until = Instant::now() + MAX_WAIT_AFTER_FAILURES;
        loop {
            // The address's own rate first: a unit that is charged in vain costs only this address.
            if (!history.is_exhausted() || exhausted_rates.charge(history.address)) && self.window.take_spare() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(AuthnError::Limited);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Registers as waiting, unless the limit of all addresses or of this one is reached.
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

    /// Records that the signature of these claims was invalid.
    pub fn forged(&self, history: AddressHistory, claims: &Fingerprint) {
        self.forged.charge((history.address, *claims));
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
    async fn addresses_without_failures_wait_for_their_place_and_are_told_when_there_is_none() {
        let (gate, start) = (gate(50), Instant::now());
        for number in 0..200 {
            assert_eq!(gate.enter(AddressHistory::clean(address(number)), &CLAIMS).await, Ok(()), "{number}");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(3), "50 in each second");
        let gate = std::sync::Arc::new(gate);
        let ask = |number| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(AddressHistory::clean(address(number)), &CLAIMS).await })
        };
        let mut told = Vec::new();
        for one in (0..=250).map(ask).collect::<Vec<_>>() {
            told.push(one.await.expect("an answer"));
        }
        assert_eq!(told.iter().filter(|told| **told == Ok(())).count(), 200, "four seconds' worth");
        assert_eq!(told.last(), Some(&Err(AuthnError::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_with_failures_leave_half_to_the_others() {
        let gate = gate(50);
        let mut let_in = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            let_in += u32::from(gate.enter(AddressHistory::failing(address(1)), &CLAIMS).await.is_ok());
        }
        assert!((50..=75).contains(&let_in), "{let_in}");
        let before = Instant::now();
        assert_eq!(gate.enter(AddressHistory::clean(address(2)), &CLAIMS).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_address_keeps_a_small_lane() {
        let gate = gate(50);
        let mut let_in = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            let_in += u32::from(gate.enter(AddressHistory::exhausted(address(1)), &CLAIMS).await.is_ok());
        }
        assert!((20..=26).contains(&let_in), "five a second and a burst of five: {let_in}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_no_more_than_its_share_of_what_the_others_wait_for() {
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
        for one in all {
            let _ = one.await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_take_the_places_where_others_look() {
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
        assert_eq!(others.len(), 15, "others look too");
        assert_eq!(gate.waiting_by_address.lock().unwrap().len(), 16);
        drop(others);
        assert_eq!(gate.waiting_by_address.lock().unwrap().len(), 1);
        for one in all {
            let _ = one.await;
        }
        assert!(gate.waiting_by_address.lock().unwrap().is_empty());
        assert_eq!(gate.waiting.available_permits(), MAX_WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn claims_that_were_forged_do_not_take_the_lane_of_an_exhausted_address_from_others() {
        let (gate, suspect) = (gate(50), AddressHistory::exhausted(address(1)));
        gate.forged(suspect, &CLAIMS);
        assert_eq!(gate.enter(suspect, &CLAIMS).await, Ok(()), "the good one may have the same claims");
        let before = Instant::now();
        assert_eq!(gate.enter(suspect, &[2; 32]).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO, "another one has a lane of its own");
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
