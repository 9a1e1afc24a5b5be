//! A page of a list.

/// The page of a list that is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The position of the last item of the previous page.
    pub after: Option<T>,
    /// Maximum number of items.
    pub limit: usize,
}

impl<T> Page<T> {
    /// The number of items to look up: one more than the limit, to know whether there is another page.
    pub(super) const fn wanted(&self) -> usize {
        self.limit + 1
    }

    /// Truncates the items to the page. If there is another page, returns the last item of this one.
    pub(super) fn cut<'i, I>(&self, items: &'i mut Vec<I>) -> Option<&'i I> {
        if items.len() <= self.limit {
            return None;
        }
        items.truncate(self.limit);
        items.last()
    }
}
