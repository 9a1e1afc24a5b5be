//! How many bytes of bundles wait in the database, of all callers and on all replicas together.
//!
//! Counting for each ticket would cost each of them a walk over all that wait. So they are counted once a second, and what this
//! replica issues in between is added. What other replicas issue in that second is seen in the next: by so much the bound may be
//! exceeded.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The tally, and the most that it may be.
pub struct SealedBytes {
    most: usize,
    counted: AtomicUsize,
    /// Issued here, and not known to be among those counted.
    issued: AtomicUsize,
    is_full: AtomicBool,
}

impl SealedBytes {
    /// None counted yet.
    pub const fn new(most: usize) -> Self {
        Self { most, counted: AtomicUsize::new(0), issued: AtomicUsize::new(0), is_full: AtomicBool::new(false) }
    }

    /// Adds a bundle, if there is room for it.
    pub fn add(&self, bytes: usize) -> bool {
        let fits = |issued: usize| {
            let sum = self.counted.load(Ordering::Relaxed).saturating_add(issued).saturating_add(bytes);
            (sum <= self.most).then(|| issued.saturating_add(bytes))
        };
        self.issued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// What has been issued by now: to be asked before counting.
    pub fn issued(&self) -> usize {
        self.issued.load(Ordering::Relaxed)
    }

    /// So many were counted, and of those issued here so many are surely among them or gone.
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
        // Half of it was redeemed meanwhile.
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
