//! The total size of unredeemed bundles in the database, of all callers and replicas.
//!
//! Counting for each new ticket would read all unredeemed tickets each time. So they are counted once a second,
//! and bundles issued by this replica in between are added. Bundles issued by other replicas in that second are
//! counted in the next one, so the limit can be exceeded by their size.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The total, and its limit.
pub struct SealedBytes {
    most: usize,
    counted: AtomicUsize,
    /// Bytes issued by this replica that the last count may not include.
    issued: AtomicUsize,
    is_full: AtomicBool,
}

impl SealedBytes {
    /// Nothing counted yet.
    pub const fn new(most: usize) -> Self {
        Self { most, counted: AtomicUsize::new(0), issued: AtomicUsize::new(0), is_full: AtomicBool::new(false) }
    }

    /// Adds a bundle if the limit allows it.
    pub fn add(&self, bytes: usize) -> bool {
        let fits = |issued: usize| {
            let sum = self.counted.load(Ordering::Relaxed).saturating_add(issued).saturating_add(bytes);
            (sum <= self.most).then(|| issued.saturating_add(bytes))
        };
        self.issued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// The bytes issued so far; to be read before counting.
    pub fn issued(&self) -> usize {
        self.issued.load(Ordering::Relaxed)
    }

    /// Sets the result of a count. `issued` is the value read before it: these bytes are included, or already
    /// deleted.
    pub fn counted(&self, bytes: usize, issued: usize) {
        self.counted.store(bytes, Ordering::Relaxed);
        self.issued.fetch_sub(issued, Ordering::Relaxed);
        let is_full = bytes >= self.most / 10 * 9;
        if is_full != self.is_full.swap(is_full, Ordering::Relaxed) {
            if is_full {
                tracing::error!(bytes, at_most = self.most, "waiting tickets are close to the database size limit");
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
    fn what_is_issued_between_two_counts_counts_too_and_once() {
        let tally = SealedBytes::new(100);
        assert!(tally.add(60) && !tally.add(41) && tally.add(40) && !tally.add(1));
        let issued = tally.issued();
        // Half of it was redeemed in the meantime.
        tally.counted(50, issued);
        assert!(tally.add(30));
        let issued = tally.issued();
        assert!(tally.add(20), "while it is counted");
        tally.counted(80, issued);
        assert!(!tally.add(1));
        tally.counted(0, tally.issued());
        assert!(tally.add(100));
        tally.counted(usize::MAX, tally.issued());
        assert!(!tally.add(0) && !tally.add(usize::MAX));
    }
}
