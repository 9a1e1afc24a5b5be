//! The limit of the total size of unredeemed bundles in the database, over all callers and replicas.
//!
//! Counting for each new ticket would read all unredeemed tickets each time. Therefore they are counted once a second, and this
//! replica adds the sizes of the bundles that it issues in between. The limit can be exceeded by the bundles that other replicas
//! issue between two counts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The last count, the bytes issued since, and their limit.
pub struct SealedBytesLimit {
    limit: usize,
    last_count: AtomicUsize,
    /// Bytes issued by this replica that are possibly not included in the last count.
    issued_since_count: AtomicUsize,
    is_almost_full: AtomicBool,
}

impl SealedBytesLimit {
    /// With a limit in bytes and a count of 0.
    pub const fn new(limit: usize) -> Self {
        let (last_count, issued_since_count) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limit, last_count, issued_since_count, is_almost_full: AtomicBool::new(false) }
    }

    /// Adds the size of a bundle if the total stays within the limit. Otherwise returns false and adds nothing.
    pub fn try_add(&self, bytes: usize) -> bool {
        let fits = |issued: usize| {
            let sum = self.last_count.load(Ordering::Relaxed).saturating_add(issued).saturating_add(bytes);
            (sum <= self.limit).then(|| issued.saturating_add(bytes))
        };
        self.issued_since_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
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

    #[test]
    fn bytes_issued_between_two_counts_are_counted_once() {
        let limit = SealedBytesLimit::new(100);
        assert!(limit.try_add(60) && !limit.try_add(41) && limit.try_add(40) && !limit.try_add(1));
        let issued = limit.issued_since_count();
        // Half of the bytes were redeemed in the meantime.
        limit.set_count(50, issued);
        assert!(limit.try_add(30));
        let issued = limit.issued_since_count();
        assert!(limit.try_add(20), "during the count");
        limit.set_count(80, issued);
        assert!(!limit.try_add(1));
        limit.set_count(0, limit.issued_since_count());
        assert!(limit.try_add(100));
        limit.set_count(usize::MAX, limit.issued_since_count());
        assert!(!limit.try_add(0) && !limit.try_add(usize::MAX));
    }
}
