//! The sizes and the events of the rows that this process has written, so that the measurement of the log and the usage table need
//! not read those rows. Only for SQLite, where the number of each row is known and no row of a lower number appears later.
//!
//! Rows before the taken ones can be missing: this process has just started, another process wrote rows, or there were too many
//! events to keep. The caller compares the number of the row before the first taken one with its own last row. If there is a gap,
//! it reads the log instead.

use super::chain::Link;
use super::row_sizes::{RowSizes, row_bytes};
use super::rows::{COLUMNS, kind};
use super::usage::recent_uses::RecentUses;
use crate::database::Param;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The sizes and events of rows that were written since the last call of `take_sizes` and `take_usage_events`.
#[derive(Debug, Default)]
pub struct RecentRows {
    sizes: Mutex<RowSizes>,
    usage_events: Mutex<RecentUses>,
}

impl RecentRows {
    /// Adds committed rows from `first_row` on. `params` are the [`super::rows::values`] of all rows, one
    /// after the other.
    pub fn add(&self, first_row: i64, links: &[Link], params: &[Param<'_>]) {
        let before = first_row.saturating_sub(1);
        let mut sizes = lock(&self.sizes);
        if sizes.last_row() != before {
            *sizes = RowSizes::starting_after(before);
        }
        let mut events = lock(&self.usage_events);
        if events.last_row() != before {
            events.restart_after(before);
        }
        for ((row, link), values) in (first_row..).zip(links).zip(params.chunks(COLUMNS)) {
            sizes.push(row, &link.time, row_bytes(values));
            events.push(kind(values), &link.time, &link.text);
        }
    }

    /// Takes the sizes of the rows.
    pub fn take_sizes(&self) -> RowSizes {
        let mut sizes = lock(&self.sizes);
        let next = RowSizes::starting_after(sizes.last_row());
        std::mem::replace(&mut sizes, next)
    }

    /// Takes the events that may record the use of a policy or a secret.
    pub fn take_usage_events(&self) -> RecentUses {
        let mut events = lock(&self.usage_events);
        let mut next = RecentUses::default();
        next.restart_after(events.last_row());
        std::mem::replace(&mut events, next)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
