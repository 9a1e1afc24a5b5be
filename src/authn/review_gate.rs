//! Limits the reviews per second of tokens that were not accepted before, and orders them.
//!
//! A review costs the API server a signature check, and anyone can forge a well-formed token. Tokens that were
//! accepted before are never delayed. Of the others, tokens from addresses without recent failures take the next
//! free place. Tokens from addresses with failures take only spare places, so that a flood of forged tokens leaves
//! half of the places to others.

use super::error::AuthnError;
use super::unverified::Fingerprint;
use crate::rates::{RateLimiter, Window};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a first review waits for a place. The review itself may take 5 s, and a request 15 s.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same for an address with failures.
const SUSPECT_PATIENCE: Duration = Duration::from_secs(2);
/// Polling interval for a spare place.
const LOOK: Duration = Duration::from_millis(50);
/// Maximum number of reviews that wait for a spare place, over all addresses.
const MAX_LOOKING: usize = 256;
/// The same for one address: more would take places from all others.
const MAX_LOOKING_OF_ADDRESS: usize = 16;
/// How long claims count as forged after a bad signature.
const FORGED_FOR: Duration = Duration::from_secs(10);
/// For an exhausted address, interval between reviews of tokens with forged claims: the next token may be the
/// genuine one.
const FORGED_EVERY: Duration = Duration::from_secs(1);

/// The recent refusals of the address that a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    address: IpAddr,
    record: Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Clean,
    Failing,
    Exhausted,
}

impl Standing {
    /// No recent refusals.
    #[must_use]
    pub const fn clean(address: IpAddr) -> Self {
        Self { address, record: Record::Clean }
    }

    /// Recent refusals.
    #[must_use]
    pub const fn failing(address: IpAddr) -> Self {
        Self { address, record: Record::Failing }
    }

    /// Refusals up to the limit.
    #[must_use]
    pub const fn exhausted(address: IpAddr) -> Self {
        Self { address, record: Record::Exhausted }
    }

    /// Whether the limit of refusals is reached.
    #[must_use]
    pub fn is_exhausted(self) -> bool {
        self.record == Record::Exhausted
    }
}

/// The limit of first reviews, shared by all clusters.
pub struct ReviewGate {
    window: Window,
    /// First reviews of each address: a fair share of the total.
    shares: RateLimiter<IpAddr>,
    /// The reserved rate of each exhausted address.
    lanes: RateLimiter<IpAddr>,
    /// The reserved rate for forged claims, so that they do not use that of other tokens.
    forged_lanes: RateLimiter<IpAddr>,
    forged: RateLimiter<(IpAddr, Fingerprint)>,
    looking: Semaphore,
    /// Number of waiting reviews by address; at most as many entries as reviews may wait.
    looking_of: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts as waiting until it is dropped.
struct Looking<'a> {
    gate: &'a ReviewGate,
    address: IpAddr,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut looking_of = self.gate.looking_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = looking_of.entry(self.address) {
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
            window: Window::new(per_second),
            shares: RateLimiter::new(part(5).saturating_mul(NonZeroU32::MIN.saturating_add(1))),
            lanes: RateLimiter::new(part(10)),
            forged_lanes: RateLimiter::one_every(FORGED_EVERY),
            forged: RateLimiter::one_every(FORGED_FOR),
            looking: Semaphore::new(MAX_LOOKING),
            looking_of: Mutex::default(),
        }
    }

    /// Waits until a token may be reviewed for the first time. `claims` is the fingerprint of its claims.
    ///
    /// # Errors
    /// [`AuthnError::Limited`] if the address has failures, [`AuthnError::Unavailable`] otherwise.
    pub async fn enter(&self, standing: Standing, claims: &Fingerprint) -> Result<(), AuthnError> {
        if standing.record == Record::Clean && self.shares.charge(standing.address) {
            let place = self.window.reserve(PATIENCE).ok_or(AuthnError::Unavailable)?;
            sleep_until(place).await;
            return Ok(());
        }
        let lanes =
            if self.forged.is_exhausted(&(standing.address, *claims)) { &self.forged_lanes } else { &self.lanes };
        let _looking = self.join_search(standing.address).ok_or(AuthnError::Limited)?;
        let until = Instant::now() + SUSPECT_PATIENCE;
        loop {
            // The address's own rate first: a unit that is charged in vain costs only this address.
            if (!standing.is_exhausted() || lanes.charge(standing.address)) && self.window.take_spare() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(AuthnError::Limited);
            }
            sleep(LOOK).await;
        }
    }

    /// Registers as waiting, unless the limit of all addresses or of this one is reached.
    fn join_search(&self, address: IpAddr) -> Option<Looking<'_>> {
        let permit = self.looking.try_acquire().ok()?;
        let mut looking_of = self.looking_of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = looking_of.get(&address).copied().unwrap_or_default();
        if count >= MAX_LOOKING_OF_ADDRESS {
            return None;
        }
        looking_of.insert(address, count + 1);
        Some(Looking { gate: self, address, _permit: permit })
    }

    /// Records that the signature of these claims was invalid.
    pub fn forged(&self, standing: Standing, claims: &Fingerprint) {
        self.forged.charge((standing.address, *claims));
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
            assert_eq!(gate.enter(Standing::clean(address(number)), &CLAIMS).await, Ok(()), "{number}");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(3), "50 in each second");
        let gate = std::sync::Arc::new(gate);
        let ask = |number| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(Standing::clean(address(number)), &CLAIMS).await })
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
            let_in += u32::from(gate.enter(Standing::failing(address(1)), &CLAIMS).await.is_ok());
        }
        assert!((50..=75).contains(&let_in), "{let_in}");
        let before = Instant::now();
        assert_eq!(gate.enter(Standing::clean(address(2)), &CLAIMS).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_address_keeps_a_small_lane() {
        let gate = gate(50);
        let mut let_in = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            let_in += u32::from(gate.enter(Standing::exhausted(address(1)), &CLAIMS).await.is_ok());
        }
        assert!((20..=26).contains(&let_in), "five a second and a burst of five: {let_in}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_no_more_than_its_share_of_what_the_others_wait_for() {
        let gate = std::sync::Arc::new(gate(50));
        let flood = |_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(Standing::clean(address(1)), &CLAIMS).await })
        };
        let all: Vec<_> = (0..1000).map(flood).collect();
        tokio::task::yield_now().await;
        let before = Instant::now();
        assert_eq!(gate.enter(Standing::clean(address(2)), &CLAIMS).await, Ok(()));
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
            tokio::spawn(async move { gate.enter(Standing::exhausted(address(number)), &CLAIMS).await })
        };
        let all: Vec<_> = (0..1000).map(|_| flood(1)).collect();
        tokio::task::yield_now().await;
        assert_eq!(gate.looking_of.lock().unwrap().get(&address(1)), Some(&MAX_LOOKING_OF_ADDRESS));
        assert!(gate.join_search(address(1)).is_none());
        let others: Vec<_> = (2..17).filter_map(|number| gate.join_search(address(number))).collect();
        assert_eq!(others.len(), 15, "others look too");
        assert_eq!(gate.looking_of.lock().unwrap().len(), 16);
        drop(others);
        assert_eq!(gate.looking_of.lock().unwrap().len(), 1);
        for one in all {
            let _ = one.await;
        }
        assert!(gate.looking_of.lock().unwrap().is_empty());
        assert_eq!(gate.looking.available_permits(), MAX_LOOKING);
    }

    #[tokio::test(start_paused = true)]
    async fn claims_that_were_forged_do_not_take_the_lane_of_an_exhausted_address_from_others() {
        let (gate, suspect) = (gate(50), Standing::exhausted(address(1)));
        gate.forged(suspect, &CLAIMS);
        assert_eq!(gate.enter(suspect, &CLAIMS).await, Ok(()), "the good one may have the same claims");
        let before = Instant::now();
        assert_eq!(gate.enter(suspect, &[2; 32]).await, Ok(()));
        assert_eq!(before.elapsed(), Duration::ZERO, "another one has a lane of its own");
        assert_eq!(gate.enter(suspect, &CLAIMS).await, Ok(()));
        assert_eq!(before.elapsed(), FORGED_EVERY);
        for standing in [Standing::clean(address(1)), Standing::failing(address(1)), Standing::exhausted(address(2))] {
            let before = Instant::now();
            assert_eq!(gate.enter(standing, &CLAIMS).await, Ok(()));
            assert_eq!(before.elapsed(), Duration::ZERO, "{standing:?}");
        }
    }
}
