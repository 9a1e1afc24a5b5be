//! A reader whose bytes are searched and counted against a limit as they are read.

use crate::leaks::{Hit, Needles, Search};
use std::cell::{Cell, RefCell};
use std::io::{self, Read};

pub struct Watched<'a> {
    inner: &'a mut dyn Read,
    search: Search<'a>,
    hits: &'a RefCell<Vec<Hit>>,
    budget: &'a Cell<u64>,
}

impl<'a> Watched<'a> {
    /// Searches the bytes of `inner`, and adds findings to `hits`.
    pub fn new(
        inner: &'a mut dyn Read,
        needles: &'a Needles,
        hits: &'a RefCell<Vec<Hit>>,
        budget: &'a Cell<u64>,
    ) -> Self {
        Self { inner, search: Search::new(needles), hits, budget }
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.budget.get().checked_sub(count as u64);
        self.budget.set(left.unwrap_or(0));
        if left.is_none() || (count > 0 && left == Some(0)) {
            self.budget.set(0);
            return Err(io::Error::other("too much to look at"));
        }
        self.search.feed(&buffer[..count], |hit| self.hits.borrow_mut().push(hit));
        Ok(count)
    }
}
