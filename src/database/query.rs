//! Builds statements with optional parts, from fixed text and placeholders.

use super::param::Param;
use std::fmt::Write as _;

/// A statement that reads.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    sql: String,
    params: Vec<Param<'a>>,
}

impl<'a> Query<'a> {
    /// Starts with this text.
    #[must_use]
    pub fn new(sql: &'static str) -> Self {
        Self { sql: sql.to_owned(), params: Vec::new() }
    }

    /// Appends this text.
    #[must_use]
    pub fn then(mut self, sql: &'static str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a placeholder for a value.
    #[must_use]
    pub fn value(mut self, param: impl Into<Param<'a>>) -> Self {
        self.params.push(param.into());
        // Writing to a String does not fail.
        let _ = write!(self.sql, "${}", self.params.len());
        self
    }

    pub(super) fn parts(&self) -> (String, &[Param<'a>]) {
        (self.sql.clone(), &self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_and_never_written() {
        let query = Query::new("SELECT a FROM t WHERE b = ").value("'; --").then(" LIMIT ").value(7);
        assert_eq!(query.parts().0, "SELECT a FROM t WHERE b = $1 LIMIT $2");
        assert!(matches!(query.parts().1, [Param::Text(_), Param::Number(7)]));
    }
}
