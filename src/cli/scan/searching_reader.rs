//! A reader that searches the bytes that it reads, and counts them against a limit.

use crate::leaks::{Hit, Needles, Search};
use std::cell::{Cell, RefCell};
use std::io::{self, Read};

pub struct SearchingReader<'a> {
    inner: &'a mut dyn Read,
    search: Search<'a>,
    hits: &'a RefCell<Vec<Hit>>,
    budget: &'a Cell<u64>,
}

impl<'a> SearchingReader<'a> {
    /// Reads from `inner`, adds findings to `hits`, and subtracts the bytes from `budget`. A read that uses up the budget fails.
    pub fn new(
        inner: &'a mut dyn Read,
        needles: &'a Needles,
        hits: &'a RefCell<Vec<Hit>>,
        budget: &'a Cell<u64>,
    ) -> Self {
        Self { inner, search: Search::new(needles), hits, budget }
    }
}

impl Read for SearchingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let remaining = self.budget.get().checked_sub(count as u64);
        self.budget.set(remaining.unwrap_or(0));
        if remaining.is_none() || (count > 0 && remaining == Some(0)) {
            self.budget.set(0);
            return Err(io::Error::other("too much to look at"));
        }
        self.search.feed(&buffer[..count], |hit| self.hits.borrow_mut().push(hit));
        Ok(count)
    }
}
