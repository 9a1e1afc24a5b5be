//! What the writer knows of the rows that it has written, so that they need not be read again. Only for SQLite, where the number
//! of each row is known and no row of a lower number appears later.
//!
//! The rows taken here can begin after a gap: after a start, after rows of another process, and after more uses than are kept. The
//! caller compares their numbers with its last row, and then reads the log.

use super::chain::Link;
use super::row_sizes::{RowSizes, row_bytes};
use super::rows::{COLUMNS, kind};
use super::usage::recent_uses::RecentUses;
use crate::database::Param;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The rows that were written since they were last taken.
#[derive(Debug, Default)]
pub struct RecentRows {
    sizes: Mutex<RowSizes>,
    uses: Mutex<RecentUses>,
}

impl RecentRows {
    /// Adds committed rows from `first_row` on. `params` are their [`super::rows::values`], one after the other.
    pub fn add(&self, first_row: i64, links: &[Link], params: &[Param<'_>]) {
        let before = first_row.saturating_sub(1);
        let mut sizes = lock(&self.sizes);
        if sizes.last_row() != before {
            *sizes = RowSizes::starting_after(before);
        }
        let mut uses = lock(&self.uses);
        if uses.last_row() != before {
            uses.restart_after(before);
        }
        for ((row, link), values) in (first_row..).zip(links).zip(params.chunks(COLUMNS)) {
            sizes.push(row, &link.time, row_bytes(values));
            uses.push(kind(values), &link.time, &link.text);
        }
    }

    /// Takes the sizes of the rows.
    pub fn take_sizes(&self) -> RowSizes {
        let mut sizes = lock(&self.sizes);
        let next = RowSizes::starting_after(sizes.last_row());
        std::mem::replace(&mut sizes, next)
    }

    /// Takes the events that can have uses.
    pub fn take_uses(&self) -> RecentUses {
        let mut uses = lock(&self.uses);
        let mut next = RecentUses::default();
        next.restart_after(uses.last_row());
        std::mem::replace(&mut uses, next)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
