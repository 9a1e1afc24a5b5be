//! Searches in SQLite return the same events with complete, missing and damaged blocks, and those of PostgreSQL, whose statements
//! SQLite can run, return the same events in short pages.

use crate::audit::blocks::{BlockWriter, backfill};
use crate::audit::filter::{Cursor, Filter};
use crate::audit::postgres_query::{self, SearchLimits};
use crate::audit::sqlite_query;
use crate::config::database::Url;
use crate::database::Database;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;
use jiff::Timestamp;
use std::time::Duration;

const ROWS: i64 = 5000;

/// A log whose column values repeat at different intervals; one row in 7 has no subject. The time advances by a minute per row,
/// and once goes back by 100 minutes.
async fn log_of(rows: i64) -> Database {
    const INSERT_EVENTS: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) \
         INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, subject, repo, branch, ticket_id, event) \
         SELECT 'c', n, '', '', strftime('%Y-%m-%dT%H:%M:00.000000Z', 1767225600 + 60 * (n - iif(n > 3000, 100, 0)), 'unixepoch'), \
             iif(n % 997 = 0, 'lease.failed', 'ticket.issued'), iif(n % 5 = 0, 'denied', 'ok'), \
             iif(n % 7 = 0, NULL, 'build-' || (n % 300)), 'apps/site-' || (n % 1000), 'main', 'ticket-' || (n / 2), '{}' FROM numbers";
    let database = Database::open(&Url::SqliteMemory).await.expect("opens");
    database.run(INSERT_EVENTS, &[rows.into()]).await.expect("written");
    database
}

fn filters() -> Vec<Filter> {
    let at = |minute: i64| Timestamp::from_second(1_767_225_600 + 60 * minute).ok();
    let ticket = |number: i64| Filter { ticket_id: Some(format!("ticket-{number}")), ..Filter::default() };
    let repo = || Repo::try_from("apps/site-77").ok();
    vec![
        Filter::default(),
        ticket(1),
        ticket(2499),
        ticket(9999),
        Filter { subject: Some("build-12".into()), ..Filter::default() },
        Filter { repo: repo(), subject: Some("build-77".into()), ..Filter::default() },
        Filter { kind: Some(EventType::LeaseFailed), ..Filter::default() },
        Filter { kind: Some(EventType::LeaseFailed), outcome: Some(Outcome::Denied), ..Filter::default() },
        Filter { outcome: Some(Outcome::Denied), ..Filter::default() },
        Filter { since: at(2880), until: at(2950), ..Filter::default() },
        Filter { until: at(70), outcome: Some(Outcome::Denied), ..Filter::default() },
        Filter { since: at(100), until: at(100), ..Filter::default() },
    ]
}

/// The first column of a query.
async fn query_numbers(database: &Database, sql: &'static str) -> Vec<i64> {
    let rows = database.run(sql, &[]).await.expect("read");
    rows.iter().map(|row| row.number(0).expect("a number")).collect()
}

/// The row numbers that a search returns, page by page.
async fn found(database: &Database, filter: &Filter, limit: i64) -> Vec<i64> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = sqlite_query::find_events(database, filter, after.as_ref(), limit).await.expect("read");
        found.extend(page.iter().map(|row| row.number(0).expect("a number")));
        match found.last() {
            Some(row) if page.len() == usize::try_from(limit).expect("small") => {
                after = Some(Cursor { time: String::new(), row: *row });
            }
            _ => return found,
        }
    }
}

/// The results for each filter, with different page sizes.
async fn search_all(database: &Database) -> Vec<Vec<i64>> {
    let mut all = Vec::new();
    for (number, filter) in filters().iter().enumerate() {
        all.push(found(database, filter, [1000, 101, 2500][number % 3]).await);
    }
    all
}

#[tokio::test]
async fn results_do_not_depend_on_blocks() {
    let database = log_of(ROWS).await;
    let expected = search_all(&database).await;
    let counts: Vec<usize> = expected.iter().map(Vec::len).collect();
    assert_eq!(counts, [5000, 2, 2, 0, 15, 1, 5, 1, 1000, 119, 13, 0]);
    assert!(expected.iter().all(|rows| rows.is_sorted_by(|newer, older| newer > older)));
    backfill(&database, 4700).await.expect("filled");
    let blocks = "SELECT last_row FROM audit_blocks WHERE kind = 5 ORDER BY last_row";
    assert_eq!(query_numbers(&database, blocks).await, [2048, 4096, 4700]);
    assert_eq!(search_all(&database).await, expected);
    // One block overlaps another.
    for change in [
        "CREATE TABLE kept AS SELECT * FROM audit_blocks WHERE last_row = 4096",
        "DELETE FROM audit_blocks WHERE last_row = 4096",
    ] {
        database.run(change, &[]).await.expect("changed");
    }
    backfill(&database, 3000).await.expect("filled");
    for change in [
        "INSERT INTO audit_blocks SELECT * FROM kept",
        "DELETE FROM audit_blocks WHERE last_row = 3000",
        "DELETE FROM audit_blocks WHERE last_row = 4700 AND kind = 2",
        "UPDATE audit_blocks SET hashes = x'00' WHERE last_row = 2048",
        "UPDATE audit_blocks SET first_row = 1 WHERE last_row = 4700",
        "UPDATE audit_blocks SET first_row = -9223372036854775808 WHERE last_row = 4096",
        "DELETE FROM audit_blocks",
    ] {
        database.run(change, &[]).await.expect("changed");
        assert_eq!(search_all(&database).await, expected, "{change}");
    }
}

/// The row numbers that the statements of PostgreSQL find, and the number of pages. Each page ends after one statement, which
/// examines at most 100 rows.
async fn found_for_postgres(database: &Database, filter: &Filter, limit: i64) -> (Vec<i64>, usize) {
    let limits = SearchLimits { found: limit, examined: 100, time: Duration::ZERO };
    let (mut numbers, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = postgres_query::find_events(database, filter, after.as_ref(), limits).await.expect("read");
        let position =
            |row: &crate::database::Row| Cursor { row: row.number(0).expect("a"), time: row.text(1).expect("b") };
        let found: Vec<Cursor> = page.rows.iter().map(position).collect();
        numbers.extend(found.iter().map(|position| position.row));
        pages += 1;
        let full = found.into_iter().nth(usize::try_from(limit - 1).expect("small"));
        after = full.or(page.stopped_at);
        if after.is_none() {
            return (numbers, pages);
        }
    }
}

#[tokio::test]
async fn each_statement_for_postgres_examines_a_bounded_number_of_rows() {
    let database = log_of(ROWS).await;
    for (filter, limit) in filters().iter().zip([7, 100, 1000].into_iter().cycle()) {
        let expected = found(&database, filter, 1000).await;
        let (mut numbers, _) = found_for_postgres(&database, filter, limit).await;
        // The time goes back once, and these statements sort by time.
        numbers.sort_unstable_by(|older, newer| newer.cmp(older));
        assert_eq!(numbers, expected, "{filter:?}");
    }
    let none = Filter { branch: Branch::try_from("none").ok(), ..Filter::default() };
    let rare = Filter { kind: Some(EventType::LeaseFailed), repo: Repo::try_from("apps/site-1").ok(), ..none.clone() };
    let denied = Filter { outcome: Some(Outcome::Denied), subject: Some("build-12".into()), ..none.clone() };
    let issued =
        Filter { kind: Some(EventType::TicketIssued), repo: Repo::try_from("apps/site-1").ok(), ..none.clone() };
    let pages = async |filter| found_for_postgres(&database, filter, 10).await;
    // 50 full pages of 100 rows, and then an empty one.
    assert_eq!(pages(&none).await, (Vec::new(), 51));
    assert_eq!(pages(&rare).await, (Vec::new(), 1), "5 events are of this type");
    assert_eq!(pages(&denied).await, (Vec::new(), 11), "1000 events have this outcome");
    assert_eq!(pages(&issued).await, (Vec::new(), 1), "5 events have this repo");
}

#[tokio::test]
async fn backfill_creates_missing_blocks() {
    let database = log_of(ROWS).await;
    database.run("DELETE FROM audit_events WHERE rowid < 500 OR rowid = 2000", &[]).await.expect("deleted");
    let expected = search_all(&database).await;
    backfill(&database, 3000).await.expect("filled");
    database.run("DELETE FROM audit_blocks WHERE last_row = 2547", &[]).await.expect("deleted");
    backfill(&database, ROWS).await.expect("filled");
    let blocks = "SELECT last_row FROM audit_blocks WHERE kind = 0 ORDER BY last_row";
    assert_eq!(query_numbers(&database, blocks).await, [2547, 3000, 5000]);
    assert_eq!(search_all(&database).await, expected);
    // All rows are in blocks, so nothing is filled in.
    backfill(&database, ROWS).await.expect("filled");
    assert_eq!(query_numbers(&database, blocks).await.len(), 3);
}

/// SQLite's documentation allows VACUUM to change rowids, because the table has no INTEGER PRIMARY KEY.
#[tokio::test]
async fn vacuum_keeps_rowids() {
    let database = log_of(ROWS).await;
    backfill(&database, ROWS).await.expect("filled");
    database.run("DELETE FROM audit_events WHERE rowid < 100 OR rowid = 2000", &[]).await.expect("deleted");
    let expected = search_all(&database).await;
    database.run("VACUUM", &[]).await.expect("vacuumed");
    assert_eq!(query_numbers(&database, "SELECT min(rowid) FROM audit_events").await, [100]);
    assert_eq!(query_numbers(&database, "SELECT max(rowid) FROM audit_events").await, [ROWS]);
    assert_eq!(search_all(&database).await, expected);
}

#[tokio::test]
async fn events_with_reused_rowids_are_found() {
    const NEW: &str = "INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, ticket_id, event) \
         SELECT 'd', seq, '', '', time, type, outcome, 'new-' || seq, '{}' FROM audit_events WHERE seq <= 500";
    let database = log_of(3000).await;
    backfill(&database, 3000).await.expect("filled");
    let count = "SELECT count(*) FROM audit_blocks";
    assert_eq!(query_numbers(&database, count).await, [12]);
    database.run("DELETE FROM audit_events WHERE rowid < 900", &[]).await.expect("deleted");
    assert_eq!(query_numbers(&database, count).await, [12], "only the oldest rows were deleted");
    database.run("DELETE FROM audit_events WHERE rowid > 2900", &[]).await.expect("deleted");
    assert_eq!(query_numbers(&database, count).await, [6]);
    database.run("DELETE FROM audit_events WHERE rowid > 950", &[]).await.expect("deleted");
    assert_eq!(query_numbers(&database, count).await, [0]);
    database.run("UPDATE audit_events SET seq = seq - 899", &[]).await.expect("numbered");
    database.run(NEW, &[]).await.expect("written");
    let filter = Filter { ticket_id: Some("new-7".into()), ..Filter::default() };
    assert_eq!(found(&database, &filter, 10).await, [957]);
}

#[tokio::test]
async fn the_writer_stores_full_blocks_and_backfills_earlier_rows() {
    let database = log_of(100).await;
    let mut writer = BlockWriter::start(database.clone()).await.expect("read");
    let value = |row: i64| (row % 5 > 0).then(|| format!("repo-{row}"));
    for group in [101..=1000, 1001..=3000, 3051..=3060] {
        let values: Vec<Option<String>> = group.clone().map(value).collect();
        let rows = values.iter().map(|value| ("2026-01-01", [None, None, None, value.as_deref(), None, None]));
        writer.add(rows, Some(*group.end()));
        writer.store_if_full().await;
    }
    let blocks = "SELECT first_row FROM audit_blocks WHERE kind = 3 ORDER BY last_row";
    assert_eq!(query_numbers(&database, blocks).await, [101]);
    let sizes = "SELECT last_row FROM audit_blocks WHERE octet_length(hashes) = 2 * 2900";
    assert_eq!(query_numbers(&database, sizes).await, [3000; 6]);
    // The writer has filled in the first hundred rows after a second.
    for _ in 0..500 {
        if query_numbers(&database, blocks).await.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(query_numbers(&database, blocks).await, [1, 101]);
}
