//! The form of migrations of PostgreSQL: replicas of two releases use one database during an upgrade, so a migration may only add what the
//! older release does not notice. What is to be removed goes in a later release, when no release in use needs it.

use std::fs;
use std::path::Path;

/// The last migration before this rule. An SQLite file has one replica, and its old version ends before the new one starts.
const BEFORE: u32 = 9;

/// The first line of a migration that removes something: the release from which on nothing uses it.
const CONTRACT: &str = "-- contract: unused since ";

/// Statements without comments, with single spaces, in capitals; texts in quotes stay in one piece.
fn statements(sql: &str) -> Vec<String> {
    let code: String =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    code.split(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase())
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// The word after a prefix: the name of a table, as far as its bracket.
fn name_after<'a>(statement: &'a str, prefix: &str) -> Option<&'a str> {
    statement.strip_prefix(prefix)?.split([' ', '(']).next()
}

/// Why a statement is no expansion; `made` are the tables that the migration has made so far.
fn fault<'a>(statement: &'a str, made: &mut Vec<&'a str>) -> Option<&'static str> {
    if statement.contains(" IF EXISTS ") || statement.contains(" IF NOT EXISTS ") {
        return Some("is conditional");
    }
    if let Some(table) = name_after(statement, "CREATE TABLE ") {
        made.push(table);
        return None;
    }
    if statement.starts_with("CREATE INDEX ") || statement.starts_with("DROP INDEX ") {
        // The older release's statements mean the same with and without it.
        return None;
    }
    let of_new_table = |table: Option<&str>| table.is_some_and(|table| made.contains(&table));
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        let (table, change) = rest.split_once(' ').unwrap_or((rest, ""));
        if of_new_table(Some(table)) {
            return None;
        }
        if !change.starts_with("ADD COLUMN ") {
            return Some("changes a table that the older release uses");
        }
        if change.contains(',') {
            return Some("makes several changes: write a statement for each");
        }
        if change.contains(" UNIQUE")
            || change.contains(" PRIMARY KEY")
            || change.contains(" REFERENCES ")
            || change.contains(" CHECK")
        {
            return Some("constrains a table that the older release writes");
        }
        return (change.contains(" NOT NULL") && !change.contains(" DEFAULT "))
            .then_some("adds a column without a default: the older release inserts without it");
    }
    let table = name_after(statement, "INSERT INTO ").or_else(|| name_after(statement, "UPDATE "));
    let indexed = statement.strip_prefix("CREATE UNIQUE INDEX ").and_then(|rest| rest.split_once(" ON "));
    let table = table.or_else(|| indexed.and_then(|(_, on)| on.split([' ', '(']).next()));
    (!of_new_table(table)).then_some("is none of: a new table, a new index, a new column")
}

/// The faults of a migration's text. `version` is the release that has it.
fn faults(sql: &str, version: &str) -> Vec<String> {
    let numbers = |version: &str| version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok();
    if let Some(rest) = sql.strip_prefix(CONTRACT) {
        let since = rest.split_whitespace().next().unwrap_or_default();
        let is_earlier = numbers(since).is_some_and(|since| since.len() == 3 && Some(since) < numbers(version));
        return if is_earlier { vec![] } else { vec![format!("{since}: name an earlier release than {version}")] };
    }
    let statements = statements(sql);
    let mut made = Vec::new();
    statements.iter().filter_map(|one| Some(format!("{one}: {}", fault(one, &mut made)?))).collect()
}

/// The number and the text of each migration.
fn listed() -> Vec<(u32, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/database/migrations/postgres");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &Path| path.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().parse().unwrap();
    files.map(|path| (number(&path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn a_migration_only_adds_so_that_the_previous_release_keeps_working() {
    let listed = listed();
    assert!(listed.len() >= BEFORE as usize, "the migrations have moved");
    for (number, sql) in listed.iter().filter(|(number, _)| *number > BEFORE) {
        let faults = faults(sql, env!("CARGO_PKG_VERSION"));
        assert!(faults.is_empty(), "{number}: {faults:#?}\nsee docs/OPERATIONS.md#upgrade");
    }
}

#[test]
fn the_check_distinguishes_expansions_from_other_changes() {
    for good in [
        "CREATE TABLE a (b TEXT NOT NULL); INSERT INTO a VALUES ('x'); CREATE UNIQUE INDEX a_b ON a (b);",
        "CREATE TABLE a (b TEXT);\nALTER TABLE a ALTER COLUMN b SET STORAGE EXTERNAL;",
        "-- DROP TABLE tickets\nCREATE INDEX tickets_x ON tickets (owner); DROP INDEX tickets_y;",
        "ALTER TABLE tickets ADD COLUMN note TEXT; alter table tickets add column n BIGINT NOT NULL DEFAULT 0;",
        "-- contract: unused since 0.9.9\nDROP TABLE old;",
    ] {
        assert_eq!(faults(good, "0.10.0"), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "DROP TABLE tickets;",
        "ALTER TABLE tickets DROP COLUMN replay;",
        "ALTER TABLE tickets RENAME COLUMN replay TO again;",
        "ALTER TABLE tickets ALTER COLUMN state TYPE TEXT;",
        "ALTER TABLE tickets ADD CONSTRAINT c CHECK (state < 4);",
        "ALTER TABLE tickets ADD COLUMN n BIGINT NOT NULL;",
        "ALTER TABLE tickets ADD COLUMN n BIGINT DEFAULT 0 CHECK (n > 0);",
        "CREATE UNIQUE INDEX one ON tickets (owner);",
        "ALTER TABLE tickets ADD COLUMN a TEXT, DROP COLUMN replay;",
        "ALTER TABLE tickets ADD COLUMN n BIGINT PRIMARY KEY;",
        "ALTER TABLE IF EXISTS tickets DROP COLUMN replay;",
        "UPDATE tickets SET state = 3;",
        "DELETE FROM tickets;",
        "CREATE TRIGGER t AFTER INSERT ON tickets BEGIN SELECT 1",
        "INSERT INTO policy_head VALUES (1, 0);",
        "-- contract: unused since 0.10.0\nDROP TABLE old;",
        "-- contract: unused since soon\nDROP TABLE old;",
    ] {
        assert_eq!(faults(bad, "0.10.0").len(), 1, "{bad}");
    }
}
