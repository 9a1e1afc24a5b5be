//! The pagination of lists.

/// A requested page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The position of the last item of the previous page.
    pub after: Option<T>,
    /// Maximum number of items.
    pub limit: usize,
}

impl<T> Page<T> {
    /// The number of items to look up. It is one more than the limit, to know whether there is another page.
    pub(super) const fn limit_plus_one(&self) -> usize {
        self.limit + 1
    }

    /// Truncates the items to the limit. Returns the last item of this page, or `None` if this is the last page.
    pub(super) fn truncate<'i, I>(&self, items: &'i mut Vec<I>) -> Option<&'i I> {
        if items.len() <= self.limit {
            return None;
        }
        items.truncate(self.limit);
        items.last()
    }
}
