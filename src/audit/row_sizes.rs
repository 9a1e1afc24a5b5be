//! The sizes of consecutive rows of the log that are not in a segment yet.
//!
//! PostgreSQL reports the size of a table, but not how much of it is in use, and an SQLite file contains other tables.
//! Therefore the sizes of rows are added up. The 1,200 bytes of overhead for each row are an upper estimate from measurements
//! of both databases.

use crate::database::Param;
use std::collections::VecDeque;
use std::sync::Arc;

/// Selects the row number, the time and the size of rows: the same size as [`row_bytes`].
pub const SELECT: &str = "SELECT rowid, time, CAST(1200 + octet_length(event) + 3 * (octet_length(coalesce(subject, '')) \
     + octet_length(coalesce(repo, '')) + octet_length(coalesce(branch, ''))) AS BIGINT) FROM audit_events WHERE rowid > ";

/// Maximum size of several rows that are kept as one part.
const MAX_PART_BYTES: u64 = 16 * 1024;
/// Maximum number of parts, which take 1.5 MB. It is reached only if rows do not settle for long: after the clock was set back.
const MAX_PARTS: usize = 16 * 1024;

/// The size of a row, from its [`super::rows::values`].
pub fn row_bytes(values: &[Param<'_>]) -> u64 {
    let length = |column: usize| values.get(column).and_then(Param::as_text).map_or(0, |text| text.len() as u64);
    1200 + length(11) + 3 * (length(7) + length(8) + length(9))
}

/// The sizes of consecutive rows, in parts.
#[derive(Debug, Default)]
pub struct RowSizes {
    /// The row before the first one.
    after: i64,
    parts: VecDeque<Part>,
    bytes: u64,
}

/// Some consecutive rows.
#[derive(Debug)]
struct Part {
    last_row: i64,
    bytes: u64,
    /// The latest time of the rows.
    time: Arc<str>,
}

impl RowSizes {
    /// No rows yet. The first one will be the one after this row.
    pub const fn starting_after(row: i64) -> Self {
        Self { after: row, parts: VecDeque::new(), bytes: 0 }
    }

    /// The row before the first one.
    pub const fn after(&self) -> i64 {
        self.after
    }

    /// The last row. If there are no rows, the row before them.
    pub fn last_row(&self) -> i64 {
        self.parts.back().map_or(self.after, |part| part.last_row)
    }

    /// Bytes of all rows.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the next row.
    pub fn push(&mut self, row: i64, time: &str, bytes: u64) {
        let last_time = self.parts.back().map(|last| &last.time).filter(|last_time| ***last_time == *time);
        let time = last_time.map_or_else(|| time.into(), Arc::clone);
        self.push_part(Part { last_row: row, bytes, time });
    }

    /// Adds the next rows. Only rows of the same time share a part, so each transaction of SQLite ends with one, unless there are
    /// [`MAX_PARTS`].
    fn push_part(&mut self, part: Part) {
        self.bytes += part.bytes;
        let is_full = self.parts.len() >= MAX_PARTS;
        match self.parts.back_mut() {
            Some(last) if is_full || (last.time == part.time && last.bytes + part.bytes <= MAX_PART_BYTES) => {
                (last.last_row, last.bytes) = (part.last_row, last.bytes + part.bytes);
                // All rows of a part settle together.
                if part.time > last.time {
                    last.time = part.time;
                }
            }
            _ => self.parts.push_back(part),
        }
    }

    /// Adds those of `other` that are after the last row, unless there are rows in between.
    pub fn append(&mut self, other: Self) {
        if other.after > self.last_row() {
            return;
        }
        for part in other.parts {
            if part.last_row > self.last_row() {
                self.push_part(part);
            }
        }
    }

    /// The last row and the size of the first rows that together have at least `min_bytes` and are older than `settled`. Rows
    /// with a time after `now` were written before the clock was set back. They are as old as the next row with another time.
    pub fn first_settled(&self, min_bytes: u64, settled: &str, now: &str) -> Option<(i64, u64)> {
        let mut bytes = 0;
        for part in &self.parts {
            bytes += part.bytes;
            if *part.time < *settled {
                if bytes >= min_bytes {
                    return Some((part.last_row, bytes));
                }
            } else if *part.time <= *now {
                break;
            }
        }
        None
    }

    /// Removes the rows up to this one.
    pub fn remove_up_to(&mut self, row: i64) {
        while let Some(part) = self.parts.pop_front_if(|part| part.last_row <= row) {
            (self.after, self.bytes) = (part.last_row, self.bytes - part.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of 5,000 bytes, all written at this time.
    fn rows(range: std::ops::RangeInclusive<i64>, time: &str) -> RowSizes {
        let mut sizes = RowSizes::starting_after(range.start() - 1);
        range.for_each(|row| sizes.push(row, time, 5000));
        sizes
    }

    #[test]
    fn rows_of_one_time_share_parts() {
        let mut sizes = rows(1..=7, "a");
        assert_eq!((sizes.parts.len(), sizes.last_row(), sizes.bytes()), (3, 7, 35_000));
        sizes.push(8, "b", 5000);
        assert_eq!((sizes.parts.len(), sizes.last_row(), sizes.bytes()), (4, 8, 40_000));
        sizes.push(9, "b", 50_000);
        assert_eq!((sizes.parts.len(), sizes.last_row(), sizes.bytes()), (5, 9, 90_000));
    }

    #[test]
    fn the_number_of_parts_is_bounded_and_no_row_settles_early() {
        let mut sizes = RowSizes::default();
        for (row, time) in (1..=20_000).zip((0..20_000).rev()) {
            sizes.push(row, &format!("{time:05}"), 10);
        }
        assert_eq!((sizes.parts.len(), sizes.last_row(), sizes.bytes()), (MAX_PARTS, 20_000, 200_000));
        let mut later = RowSizes::starting_after(20_000);
        later.push(20_001, "20001", 10);
        sizes.append(later);
        assert_eq!((sizes.parts.len(), sizes.last_row(), sizes.bytes()), (MAX_PARTS, 20_001, 200_010));
        assert_eq!(sizes.first_settled(200_010, "20001", "z"), None, "the last row is not settled");
        assert_eq!(sizes.first_settled(200_010, "20002", "z"), Some((20_001, 200_010)));
    }

    #[test]
    fn rows_are_added_once_and_only_without_a_gap() {
        let mut sizes = rows(1..=4, "a");
        sizes.append(rows(6..=9, "b"));
        assert_eq!((sizes.last_row(), sizes.bytes()), (4, 20_000), "row 5 is missing");
        let mut overlapping = rows(3..=4, "a");
        overlapping.append(rows(5..=9, "b"));
        sizes.append(overlapping);
        assert_eq!((sizes.last_row(), sizes.bytes()), (9, 45_000));
        sizes.append(RowSizes::default());
        assert_eq!((sizes.last_row(), sizes.bytes()), (9, 45_000));
    }

    #[test]
    fn only_settled_rows_make_a_segment() {
        let mut sizes = rows(1..=3, "a");
        sizes.append(rows(4..=6, "b"));
        sizes.append(rows(7..=9, "a"));
        assert_eq!(sizes.first_settled(1, "a", "z"), None);
        assert_eq!(sizes.first_settled(1, "b", "z"), Some((3, 15_000)));
        assert_eq!(sizes.first_settled(15_001, "b", "z"), None, "a later row is not settled before an earlier one");
        assert_eq!(sizes.first_settled(15_001, "c", "z"), Some((6, 30_000)));
        sizes.remove_up_to(6);
        assert_eq!((sizes.after(), sizes.last_row(), sizes.bytes()), (6, 9, 15_000));
        sizes.remove_up_to(9);
        assert_eq!((sizes.after(), sizes.last_row(), sizes.bytes()), (9, 9, 0));
    }

    #[test]
    fn rows_with_a_future_time_are_as_old_as_the_next_row() {
        let mut sizes = rows(1..=3, "z");
        sizes.append(rows(4..=6, "b"));
        sizes.append(rows(7..=9, "z"));
        assert_eq!(sizes.first_settled(1, "b", "b"), None);
        assert_eq!(sizes.first_settled(1, "c", "d"), Some((6, 30_000)));
        sizes.remove_up_to(6);
        assert_eq!(sizes.first_settled(1, "c", "d"), None, "no later row is settled");
    }
}
