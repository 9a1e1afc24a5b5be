//! Prepared statements of units of work through a pooler, by the SQL statements `PREPARE` and `EXECUTE`.
//!
//! A pooler sends all statements of a transaction to one session of the server. What a transaction prepares stays in that session,
//! with its plan, for later transactions of any client of the pooler. So each transaction first selects which of its statements the
//! session has, and prepares the others. The name of a statement contains a digest of its text, because replicas of another
//! version use the same sessions.

use super::literals;
use super::param::Param;
use crate::sealing::digest::{sha256, to_hex};
use std::collections::HashSet;
use std::fmt::Write as _;

/// Selects the names of the session's statements, as one text.
pub const SELECT_NAMES: &str =
    "SELECT coalesce(string_agg(name, ' '), '') FROM pg_prepared_statements WHERE name LIKE 'claviger_%'";
/// Number of bytes of the digest in a name, which has at most 63 characters.
const DIGEST_BYTES: usize = 16;

/// The names of the statements that the session of a transaction has.
#[derive(Debug, Default)]
pub struct PreparedNames(HashSet<String>);

impl PreparedNames {
    /// From the result of [`SELECT_NAMES`].
    pub fn new(names: &str) -> Self {
        Self(names.split(' ').map(str::to_owned).collect())
    }

    /// Returns SQL that executes a statement with these parameters, and prepares it first if the session does not have it.
    pub fn execute(&mut self, statement: &str, params: &[Param<'_>]) -> String {
        if params.is_empty() {
            return statement.to_owned();
        }
        let types: Vec<&str> = params.iter().map(literals::sql_type).collect();
        self.execute_with(statement, &types, &literals::list(params))
    }

    /// Like [`Self::execute`], with the SQL types of the parameters and a list of their literals.
    pub fn execute_with(&mut self, statement: &str, types: &[&str], literals: &str) -> String {
        let types = types.join(", ");
        let prepared = format!("({types}) AS {statement}");
        let name = format!("claviger_{}", to_hex(&sha256(prepared.as_bytes())[..DIGEST_BYTES]));
        let mut sql = String::with_capacity(prepared.len() + literals.len() + 128);
        if !self.0.contains(&name) {
            // Writing to a String does not fail.
            let _ = write!(sql, "PREPARE {name} {prepared}; ");
        }
        let _ = write!(sql, "EXECUTE {name}({literals})");
        self.0.insert(name);
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_prepared_unless_the_session_has_it() {
        let mut names = PreparedNames::new("claviger_00 claviger_ff");
        let first = names.execute("SELECT $1, $2", &["a".into(), Param::Numbers(&[7])]);
        let (prepare, execute) = first.split_once("; ").expect("two statements");
        let name = execute.strip_prefix("EXECUTE ").and_then(|rest| rest.split('(').next()).expect("a name");
        assert_eq!(prepare, format!("PREPARE {name} (text, bigint[]) AS SELECT $1, $2"));
        assert_eq!(execute, format!("EXECUTE {name}('a'::text, ARRAY['7'::bigint]::bigint[])"));
        assert!(name.len() < 64, "PostgreSQL cuts longer names");
        let second = names.execute("SELECT $1, $2", &["b".into(), Param::Numbers(&[])]);
        assert_eq!(second, format!("EXECUTE {name}('b'::text, ARRAY[]::bigint[])"));
        let later = PreparedNames::new(name).execute("SELECT $1, $2", &["c".into(), Param::Numbers(&[])]);
        assert!(later.starts_with("EXECUTE "), "{later}");
    }

    #[test]
    fn statements_with_other_texts_or_types_have_other_names() {
        let name = |statement: &str, param: Param<'_>| {
            let sql = PreparedNames::default().execute(statement, &[param]);
            sql.split(' ').nth(1).expect("a name").to_owned()
        };
        let names = [name("SELECT $1", 7.into()), name("SELECT $1", "7".into()), name("SELECT  $1", 7.into())];
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 3);
        assert_eq!(PreparedNames::default().execute("SELECT 1", &[]), "SELECT 1");
    }
}
