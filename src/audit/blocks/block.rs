//! A block of the index by which queries filter audit events: the hashes of the columns of consecutive rows.

/// Number of rows in a block. The newest rows, fewer than this, have no block yet, and a query compares them one by one.
pub const ROWS: usize = 2048;
/// Bytes of one hash.
pub const WIDTH: usize = 2;
/// The number of columns that a query can filter by.
const COLUMNS: usize = 6;

/// The values of a row by which queries filter, in the order of [`Column`].
pub type Values<'a> = [Option<&'a str>; COLUMNS];

/// A column that a query can filter by. Its number is the `kind` of a stored block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// `type`.
    Type = 0,
    /// `outcome`.
    Outcome = 1,
    /// `subject`.
    Subject = 2,
    /// `repo`.
    Repo = 3,
    /// `branch`.
    Branch = 4,
    /// `ticket_id`.
    TicketId = 5,
}

/// Consecutive rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The number of the first row.
    pub first: i64,
    /// The earliest time.
    pub since: String,
    /// The latest time.
    pub until: String,
    /// For each column, the hashes of its values in the order of the rows; 0 where a row has no value.
    pub hashes: [Vec<u8>; COLUMNS],
}

impl Block {
    /// A block without rows.
    pub fn from_row(first: i64) -> Self {
        Self { first, since: String::new(), until: String::new(), hashes: [const { Vec::new() }; COLUMNS] }
    }

    /// The number of rows.
    pub const fn rows(&self) -> usize {
        self.hashes[0].len() / WIDTH
    }

    /// The number of the row after the last one.
    pub fn next(&self) -> i64 {
        self.first.saturating_add(i64::try_from(self.rows()).unwrap_or(i64::MAX))
    }

    /// Appends a row.
    pub fn push(&mut self, time: &str, values: Values<'_>) {
        if self.since.is_empty() || time < self.since.as_str() {
            time.clone_into(&mut self.since);
        }
        if time > self.until.as_str() {
            time.clone_into(&mut self.until);
        }
        for (hashes, value) in self.hashes.iter_mut().zip(values) {
            hashes.extend(value.map_or(0, hash).to_le_bytes());
        }
    }

    /// Appends a placeholder for a number that no row has.
    pub fn push_missing(&mut self) {
        for hashes in &mut self.hashes {
            hashes.extend([0; WIDTH]);
        }
    }
}

/// The hash of a value, never 0: FNV-1a, folded to 16 bits. It is stored, so it must not change. About one in 65,535 other
/// values has the same hash, so a query compares the rows that it finds too.
pub fn hash(value: &str) -> u16 {
    let hash = value.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    u16::from_le_bytes([a ^ c, b ^ d]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_was_stored_once() {
        assert_eq!(["", "main", "ticket.issued", "é"].map(hash), [0x1cd9, 0x0898, 0x3cd3, 0xf65c]);
    }

    #[test]
    fn a_block_spans_its_rows_and_their_times() {
        let mut block = Block::from_row(7);
        for time in ["2026-01-02", "2026-01-01", "2026-01-03"] {
            block.push(time, [Some("a"), None, None, None, None, Some("b")]);
        }
        block.push_missing();
        assert_eq!((block.rows(), block.next()), (4, 11));
        assert_eq!((block.since.as_str(), block.until.as_str()), ("2026-01-01", "2026-01-03"));
        assert_eq!(block.hashes[0][..2], hash("a").to_le_bytes());
        assert_eq!((&block.hashes[1][..], &block.hashes[5][6..]), (&[0; 8][..], &[0; 2][..]));
    }
}
