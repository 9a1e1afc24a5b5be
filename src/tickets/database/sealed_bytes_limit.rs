//! The limit of the total size of unredeemed bundles in the database, over all callers and replicas.
//!
//! Counting for each new ticket would read all unredeemed tickets each time. Therefore they are counted once a second, and this
//! replica adds the sizes of the bundles that it issues in between. The limit can be exceeded by the bundles that other replicas
//! issue between two counts.
//!
//! The bytes of a bundle are reserved before its ticket is inserted. If the ticket is refused or not committed, they are released.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The last count, the bytes reserved and issued since, and their limit.
pub struct SealedBytesLimit {
    limit: usize,
    last_count: AtomicUsize,
    /// Bytes whose tickets are not committed yet.
    reserved: AtomicUsize,
    /// Bytes committed by this replica that are possibly not included in the last count.
    issued_since_count: AtomicUsize,
    is_almost_full: AtomicBool,
}

impl SealedBytesLimit {
    /// With a limit in bytes and a count of 0.
    pub fn new(limit: usize) -> Self {
        let zero = || AtomicUsize::new(0);
        let (last_count, reserved, issued_since_count) = (zero(), zero(), zero());
        Self { limit, last_count, reserved, issued_since_count, is_almost_full: AtomicBool::new(false) }
    }

    /// Reserves the size of a bundle if the total stays within the limit. Otherwise returns false and reserves nothing.
    pub fn reserve(&self, bytes: usize) -> bool {
        let counted = self.last_count.load(Ordering::Relaxed).saturating_add(self.issued_since_count());
        let fits = |reserved: usize| {
            let sum = counted.saturating_add(reserved).saturating_add(bytes);
            (sum <= self.limit).then(|| reserved.saturating_add(bytes))
        };
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Ends the reservation of a bundle. If it was committed, its bytes count as issued.
    pub fn release(&self, bytes: usize, committed: bool) {
        if committed {
            self.issued_since_count.fetch_add(bytes, Ordering::Relaxed);
        }
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes issued since the last count. To be read before the next count, and passed to [`Self::set_count`] after it.
    pub fn issued_since_count(&self) -> usize {
        self.issued_since_count.load(Ordering::Relaxed)
    }

    /// Sets the result of a count. `issued_before` is the value of [`Self::issued_since_count`] before the count. The count
    /// includes these bytes, or their bundles are deleted already.
    pub fn set_count(&self, bytes: usize, issued_before: usize) {
        self.last_count.store(bytes, Ordering::Relaxed);
        self.issued_since_count.fetch_sub(issued_before, Ordering::Relaxed);
        let is_almost_full = bytes >= self.limit / 10 * 9;
        if is_almost_full != self.is_almost_full.swap(is_almost_full, Ordering::Relaxed) {
            if is_almost_full {
                tracing::error!(bytes, at_most = self.limit, "waiting tickets are close to the database size limit");
            } else {
                tracing::info!(bytes, "waiting tickets are below the database size limit again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reserves a bundle and commits it.
    fn issue(limit: &SealedBytesLimit, bytes: usize) -> bool {
        let fits = limit.reserve(bytes);
        if fits {
            limit.release(bytes, true);
        }
        fits
    }

    #[test]
    fn bytes_issued_between_two_counts_are_counted_once() {
        let limit = SealedBytesLimit::new(100);
        assert!(issue(&limit, 60) && !issue(&limit, 41) && issue(&limit, 40) && !issue(&limit, 1));
        let issued = limit.issued_since_count();
        // Half of the bytes were redeemed in the meantime.
        limit.set_count(50, issued);
        assert!(issue(&limit, 30));
        let issued = limit.issued_since_count();
        assert!(issue(&limit, 20), "during the count");
        limit.set_count(80, issued);
        assert!(!issue(&limit, 1));
        limit.set_count(0, limit.issued_since_count());
        assert!(issue(&limit, 100));
        limit.set_count(usize::MAX, limit.issued_since_count());
        assert!(!issue(&limit, 0) && !issue(&limit, usize::MAX));
    }

    #[test]
    fn a_reservation_counts_until_it_is_released() {
        let limit = SealedBytesLimit::new(100);
        assert!(limit.reserve(60) && !limit.reserve(41));
        // The count does not include the reserved bytes, and does not end their reservation.
        limit.set_count(0, limit.issued_since_count());
        assert!(!limit.reserve(41));
        limit.release(60, false);
        assert!(limit.reserve(100));
        limit.release(100, true);
        assert!(!limit.reserve(1));
        limit.set_count(0, limit.issued_since_count());
        assert!(limit.reserve(100));
    }
}
