//! A block of the index: hashes of the columns of consecutive rows.

/// Minimum number of rows of a block that a writer stores.
pub const ROWS_PER_BLOCK: usize = 2048;
/// Length of one hash.
pub const HASH_BYTES: usize = 2;
/// The number of columns that a query can filter by.
const COLUMNS: usize = 6;

/// The values of a row that queries can filter by, in the order of [`Column`].
pub type FilterValues<'a> = [Option<&'a str>; COLUMNS];

/// A column that a query can filter by. Its discriminant is stored in the column `kind` of `audit_blocks`.
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

/// A block of consecutive rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The number of the first row.
    pub first_row: i64,
    /// The earliest time of the rows.
    pub since: String,
    /// The latest time of the rows.
    pub until: String,
    /// For each column, the hashes of its values in the order of the rows. 0 stands for NULL.
    pub hashes: [Vec<u8>; COLUMNS],
}

impl Block {
    /// A block without rows, whose first row will have this number.
    pub fn starting_at(first_row: i64) -> Self {
        Self { first_row, since: String::new(), until: String::new(), hashes: [const { Vec::new() }; COLUMNS] }
    }

    /// The number of rows.
    pub const fn row_count(&self) -> usize {
        self.hashes[0].len() / HASH_BYTES
    }

    /// The number of the row after the last one.
    pub fn next_row(&self) -> i64 {
        self.first_row.saturating_add(i64::try_from(self.row_count()).unwrap_or(i64::MAX))
    }

    /// Appends a row.
    pub fn push(&mut self, time: &str, values: FilterValues<'_>) {
        if self.since.is_empty() || time < self.since.as_str() {
            time.clone_into(&mut self.since);
        }
        if time > self.until.as_str() {
            time.clone_into(&mut self.until);
        }
        for (hashes, value) in self.hashes.iter_mut().zip(values) {
            hashes.extend(value.map_or(0, hash_value).to_le_bytes());
        }
    }

    /// Appends a placeholder for a row number that the table does not have.
    pub fn push_missing_row(&mut self) {
        for hashes in &mut self.hashes {
            hashes.extend([0; HASH_BYTES]);
        }
    }
}

/// The hash of a value: FNV-1a, folded to 16 bits, and 1 instead of 0. Hashes are stored, so this function must not change. One
/// in 65,535 values has the same hash, so a query also compares the values of the rows that it finds.
pub fn hash_value(value: &str) -> u16 {
    let hash = value.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    u16::from_le_bytes([a ^ c, b ^ d]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_value_returns_the_hashes_of_existing_databases() {
        assert_eq!(["", "main", "ticket.issued", "é"].map(hash_value), [0x1cd9, 0x0898, 0x3cd3, 0xf65c]);
    }

    #[test]
    fn a_block_has_the_range_of_its_rows_and_times() {
        let mut block = Block::starting_at(7);
        for time in ["2026-01-02", "2026-01-01", "2026-01-03"] {
            block.push(time, [Some("a"), None, None, None, None, Some("b")]);
        }
        block.push_missing_row();
        assert_eq!((block.row_count(), block.next_row()), (4, 11));
        assert_eq!((block.since.as_str(), block.until.as_str()), ("2026-01-01", "2026-01-03"));
        assert_eq!(block.hashes[0][..2], hash_value("a").to_le_bytes());
        assert_eq!((&block.hashes[1][..], &block.hashes[5][6..]), (&[0; 8][..], &[0; 2][..]));
    }
}
