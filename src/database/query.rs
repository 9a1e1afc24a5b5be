//! A builder of read-only statements with optional parts.

use super::param::Param;
use std::fmt::Write as _;

/// A read-only statement: fixed SQL text, and values as parameters.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    sql: String,
    params: Vec<Param<'a>>,
}

impl<'a> Query<'a> {
    /// A statement that begins with this SQL text.
    #[must_use]
    pub fn new(sql: &'static str) -> Self {
        Self { sql: sql.to_owned(), params: Vec::new() }
    }

    /// Appends SQL text.
    #[must_use]
    pub fn sql(mut self, sql: &'static str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a placeholder, with this value as its parameter.
    #[must_use]
    pub fn value(mut self, param: impl Into<Param<'a>>) -> Self {
        self.params.push(param.into());
        // Writing to a String does not fail.
        let _ = write!(self.sql, "${}", self.params.len());
        self
    }

    /// The SQL text and the parameters.
    pub(super) fn parts(&self) -> (String, &[Param<'a>]) {
        (self.sql.clone(), &self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_parameters_and_not_text() {
        let query = Query::new("SELECT a FROM t WHERE b = ").value("'; --").sql(" LIMIT ").value(7);
        assert_eq!(query.parts().0, "SELECT a FROM t WHERE b = $1 LIMIT $2");
        assert!(matches!(query.parts().1, [Param::Text(_), Param::Number(7)]));
    }
}
