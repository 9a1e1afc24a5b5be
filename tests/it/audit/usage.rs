//! The table of last uses: uses of deleted policies are deleted after a time, those of existing policies never. Uses counted in
//! memory equal those of the log.

use super::{Replica, TestDatabase, on_every_database};
use claviger::audit::{Event, PolicyUse, UsageEvent, UsageProgress, UseKind};
use claviger::metrics::labels::{EventType, Outcome};
use claviger::model::branch::Branch;
use claviger::model::caller::Caller;
use claviger::model::clock::Clock as _;
use claviger::model::repo::Repo;
use claviger::model::ticket::TicketToken;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// More policies than are kept after they are gone, and than one statement has.
const MANY: usize = 10_100;

on_every_database! {
    uses_of_a_deleted_policy_are_kept_for_a_month
    uses_of_the_last_deleted_policies_are_kept
    uses_from_memory_are_those_of_the_log
    uses_of_a_killed_process_are_added_by_the_next
    uses_of_too_many_events_are_read_from_the_log
    events_that_this_process_wrote_are_not_read_again
    the_last_names_up_to_the_limit_are_kept_when_they_are_counted
    a_summary_counts_no_more_names_than_are_kept
    an_error_of_one_secret_does_not_end_the_deletion_of_old_names
    old_uses_are_deleted
    failed_redemptions_are_no_uses
}

/// Uses of these policies at the time of the test, by two callers each.
async fn record_uses(db: &TestDatabase, names: &[String], at: Timestamp) {
    let at = format!("{at:.6}");
    let rows: Vec<_> = names
        .iter()
        .flat_map(|name| {
            let of = |kind: &str, by: &str| json!([name, "", "", kind, by, at]);
            [of("matched", ""), of("caller", "one"), of("caller", "two")]
        })
        .collect();
    let insert = claviger::database::Sql {
        sqlite: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
             SELECT json_extract(value, '$[0]'), '', '', json_extract(value, '$[3]'), json_extract(value, '$[4]'), \
             json_extract(value, '$[5]') FROM json_each($1)",
        postgres: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
             SELECT value->>0, '', '', value->>3, value->>4, value->>5 FROM jsonb_array_elements($1::jsonb) AS uses (value)",
    };
    db.database.run(insert, &[serde_json::Value::Array(rows).to_string().into()]).await.unwrap();
}

/// The policies that have a row of a kind.
async fn policies(db: &TestDatabase, kind: &str) -> BTreeSet<String> {
    let query = "SELECT DISTINCT policy FROM policy_usage WHERE kind = $1";
    let rows = db.database.run(query, &[kind.into()]).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn uses_of_a_deleted_policy_are_kept_for_a_month(db: TestDatabase) {
    let replica = db.replica().await;
    let usage = replica.log.reader().usage();
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    record_uses(&db, &["back", "gone", "team-a/gone", "kept"].map(str::to_owned), start).await;
    let only_kept = |name: &str| name == "kept";
    usage.tidy_deleted_policies(start, &only_kept).await.unwrap();
    assert_eq!(policies(&db, "gone").await, names(&["back", "gone", "team-a/gone"]));
    // The inventory sees none of it.
    assert_eq!(usage.last_uses(&["kept"]).await.unwrap().len(), 1);
    assert_eq!(usage.last_uses(&["kept", "back", "absent"]).await.unwrap().len(), 2);
    assert_eq!(usage.summarise(&["gone"], start, 9).await.unwrap().values().next().unwrap().callers, 2);

    // One is back before its month is over, and goes again: its month begins anew.
    let later = start.checked_add(DAY * 20).unwrap();
    usage.tidy_deleted_policies(later, &|name| only_kept(name) || name == "back").await.unwrap();
    assert_eq!(policies(&db, "gone").await, names(&["gone", "team-a/gone"]));
    usage.tidy_deleted_policies(later, &only_kept).await.unwrap();
    let later = start.checked_add(DAY * 31).unwrap();
    usage.tidy_deleted_policies(later, &only_kept).await.unwrap();
    for kind in ["matched", "caller"] {
        assert_eq!(policies(&db, kind).await, names(&["back", "kept"]), "{kind}");
    }
    let later = start.checked_add(DAY * 60).unwrap();
    usage.tidy_deleted_policies(later, &only_kept).await.unwrap();
    assert_eq!(policies(&db, "matched").await, names(&["kept"]));
    assert_eq!(policies(&db, "gone").await, names(&[]));
}

async fn uses_of_the_last_deleted_policies_are_kept(db: TestDatabase) {
    let replica = db.replica().await;
    let usage = replica.log.reader().usage();
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let all: Vec<String> = (0..MANY).map(|at| format!("team-a/p-{at:05}")).collect();
    record_uses(&db, &all[MANY - 200..], start).await;
    usage.tidy_deleted_policies(start, &|_| false).await.unwrap();
    record_uses(&db, &all[..MANY - 200], start).await;
    let later = start.checked_add(DAY).unwrap();
    usage.tidy_deleted_policies(later, &|_| false).await.unwrap();
    let left = policies(&db, "matched").await;
    assert_eq!(left.len(), 10_000);
    assert!(
        left.contains("team-a/p-00000") && left.contains(&all[MANY - 1]),
        "the uses of the policies deleted first are deleted"
    );
    assert!(!left.contains(&all[MANY - 200]));
    assert_eq!(policies(&db, "gone").await, left);
}

/// An event with a use of its own for each repo, and with one for all of a policy.
fn used_event(kind: EventType, policy: &str, repo: usize) -> Event {
    let mut event = Event::new(kind, Outcome::Ok);
    event.caller = Some(Arc::new(Caller {
        issuer: "ci".into(),
        subject: format!("build-\u{202e}{}\0", repo % 5),
        groups: Vec::new(),
        workload: None,
        unbound_account: None,
        claims: Map::new(),
    }));
    event.repo = Some(Repo::try_from(format!("apps/site-{repo}").as_str()).unwrap());
    event.branch = Some(Branch::try_from("main").unwrap());
    event.policies = vec![policy.into()];
    event
}

fn uses_in(event: &UsageEvent<'_>) -> Vec<PolicyUse> {
    let used = |policy: &String, kind, name: String| PolicyUse {
        policy: policy.clone(),
        store: String::new(),
        path: String::new(),
        kind,
        caller_or_repo: name,
    };
    let caller = event.caller.as_ref().map(|caller| caller.subject.clone()).unwrap_or_default();
    let by = [(UseKind::Matched, event.kind.to_string()), (UseKind::Caller, caller)];
    let by = by.into_iter().chain([(UseKind::Repo, event.repo.clone().unwrap_or_default())]);
    by.flat_map(|(kind, name)| event.policies.iter().map(move |policy| used(policy, kind, name.clone()))).collect()
}

impl TestDatabase {
    async fn uses(&self) -> Vec<Vec<String>> {
        let query = "SELECT policy, kind, name, last_at FROM policy_usage ORDER BY policy, kind, name";
        let rows = self.database.run(query, &[]).await.unwrap();
        rows.iter().map(|row| (0..4).map(|column| row.text(column).unwrap()).collect()).collect()
    }

    /// Events of PostgreSQL are settled after 20 seconds.
    async fn counts(&self, replica: &Replica) {
        let now = self.clock.now().checked_add(SignedDuration::from_secs(30)).unwrap();
        let progress = replica.log.reader().usage().add_new_events(now, 100, &uses_in).await.unwrap();
        assert_eq!(progress, UsageProgress::Complete);
    }

    /// Deletes the uses and adds those of all events in the log, which must be the same.
    async fn counts_as_from_the_log(&self, replica: &Replica) {
        let before = self.uses().await;
        for sql in ["DELETE FROM policy_usage", "UPDATE policy_usage_head SET last_row = 0"] {
            self.database.run(sql, &[]).await.unwrap();
        }
        self.counts(replica).await;
        let after = self.uses().await;
        assert!(!after.is_empty() && before == after, "{before:?} is not {after:?}");
    }
}

impl Replica {
    async fn uses_together(&self, kind: EventType, policy: &str, repos: std::ops::Range<usize>) {
        let repos: Vec<usize> = repos.collect();
        for some in repos.chunks(250) {
            let events = some.iter().map(|repo| self.log.record(used_event(kind, policy, *repo)));
            futures_util::future::try_join_all(events).await.unwrap();
        }
    }
}

async fn uses_from_memory_are_those_of_the_log(db: TestDatabase) {
    let (replica, other) = (db.replica().await, db.replica().await);
    for round in 0..4 {
        for kind in EventType::ALL.iter().copied() {
            replica.uses_together(kind, "p", round..round + 20).await;
            db.clock.advance(SignedDuration::from_secs(1));
            replica.uses_together(kind, "q", round + 15..round + 16).await;
        }
        if round == 2 {
            other.uses_together(EventType::TicketDenied, "other", 0..3).await;
            other.uses_together(EventType::TicketIssued, "other", 2..3).await;
        }
        db.counts(&replica).await;
        // Another replica counts what is new for it; nothing, if the first one has counted.
        db.counts(&other).await;
    }
    let kinds: BTreeSet<String> =
        db.uses().await.into_iter().filter(|used| used[1] == "matched").map(|used| used[2].clone()).collect();
    assert_eq!(kinds, names(&["secrets.read", "ticket.denied", "ticket.failed", "ticket.issued"]));
    db.counts_as_from_the_log(&replica).await;
}

async fn uses_of_a_killed_process_are_added_by_the_next(db: TestDatabase) {
    let killed = db.replica().await;
    killed.uses_together(EventType::TicketIssued, "p", 0..5).await;
    db.counts(&killed).await;
    killed.uses_together(EventType::TicketIssued, "p", 5..9).await;
    // What it has in memory is lost.
    killed.shut_down().await;
    let next = db.replica().await;
    next.uses_together(EventType::TicketIssued, "p", 9..11).await;
    db.counts(&next).await;
    let repos = db.uses().await.into_iter().filter(|used| used[1] == "repo").count();
    assert_eq!(repos, 11);
    next.uses_together(EventType::TicketIssued, "p", 11..12).await;
    db.counts(&next).await;
    db.counts_as_from_the_log(&next).await;
}

async fn uses_of_too_many_events_are_read_from_the_log(db: TestDatabase) {
    let replica = db.replica().await;
    db.counts(&replica).await;
    for (policy, repos) in [("p", 0..900), ("q", 900..1800), ("r", 1800..2500)] {
        replica.uses_together(EventType::TicketIssued, policy, repos).await;
    }
    db.counts(&replica).await;
    let repos = db.uses().await.into_iter().filter(|used| used[1] == "repo").count();
    assert_eq!(repos, 2500);
    replica.uses_together(EventType::TicketIssued, "r", 2500..2600).await;
    db.counts(&replica).await;
    db.counts_as_from_the_log(&replica).await;
}

async fn events_that_this_process_wrote_are_not_read_again(db: TestDatabase) {
    let replica = db.replica().await;
    replica.uses_together(EventType::TicketIssued, "p", 0..5).await;
    db.database.run("UPDATE audit_events SET event = '{}'", &[]).await.unwrap();
    db.counts(&replica).await;
    let is_empty = db.uses().await.is_empty();
    assert_eq!(is_empty, db.database.is_remote(), "only SQLite has them in memory");
    replica.uses_together(EventType::TicketIssued, "p", 0..5).await;
    db.counts(&replica).await;
    assert_eq!(db.uses().await.len(), 11, "five callers and repos, and a policy");
}

impl TestDatabase {
    /// The number of repos of each policy.
    async fn repos(&self) -> Vec<(String, i64)> {
        let query = "SELECT policy, count(*) FROM policy_usage WHERE kind = 'repo' GROUP BY policy ORDER BY policy";
        let rows = self.database.run(query, &[]).await.unwrap();
        rows.iter().map(|row| (row.text(0).unwrap(), row.number(1).unwrap())).collect()
    }
}

/// Uses of a policy for this many repos, which are not in the log.
async fn record_repos(db: &TestDatabase, policy: &str, repos: i64) {
    let insert = claviger::database::Sql {
        sqlite: "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2) \
             INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
             SELECT $1, '', '', 'repo', 'old/' || n, '2025-06-01T00:00:00.000000Z' FROM numbers",
        postgres: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
             SELECT $1, '', '', 'repo', 'old/' || n, '2025-06-01T00:00:00.000000Z' FROM generate_series(1, $2) AS numbers (n)",
    };
    db.database.run(insert, &[policy.into(), repos.into()]).await.unwrap();
}

async fn the_last_names_up_to_the_limit_are_kept_when_they_are_counted(db: TestDatabase) {
    let replica = db.replica().await;
    // More than one statement deletes.
    record_repos(&db, "p", 3500).await;
    record_repos(&db, "q", 1001).await;
    record_repos(&db, "idle", 10).await;
    for policy in ["p", "q", "r"] {
        replica.uses_together(EventType::TicketIssued, policy, 0..3).await;
    }
    db.counts(&replica).await;
    let expected = [("idle", 10), ("p", 1000), ("q", 1000), ("r", 3)].map(|(policy, repos)| (policy.to_owned(), repos));
    assert_eq!(db.repos().await, expected);
    let new = db.uses().await.into_iter().filter(|used| used[1] == "repo" && used[2].starts_with("apps/site-")).count();
    assert_eq!(new, 9, "the last ones are kept");
    assert_eq!(db.uses().await.into_iter().filter(|used| used[1] == "caller").count(), 9);
}

async fn a_summary_counts_no_more_names_than_are_kept(db: TestDatabase) {
    let replica = db.replica().await;
    record_repos(&db, "p", 1500).await;
    let summaries = replica.log.reader().usage().summarise(&["p"], Timestamp::UNIX_EPOCH, 5).await.unwrap();
    let summary = summaries.values().next().unwrap();
    assert_eq!((summary.repos, summary.repo_names.len()), (1000, 5));
}

async fn an_error_of_one_secret_does_not_end_the_deletion_of_old_names(db: TestDatabase) {
    let replica = db.replica().await;
    let refuse: &[&str] = if db.database.is_remote() {
        &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
            "CREATE TRIGGER refused BEFORE DELETE ON policy_usage FOR EACH ROW WHEN (OLD.policy = 'p') EXECUTE FUNCTION refuse()",
        ]
    } else {
        &[
            "CREATE TRIGGER refused BEFORE DELETE ON policy_usage WHEN OLD.policy = 'p' BEGIN SELECT RAISE(ABORT, 'refused'); END",
        ]
    };
    for statement in refuse.iter().copied() {
        db.database.run(statement, &[]).await.unwrap();
    }
    for policy in ["o", "p", "q"] {
        record_repos(&db, policy, 1200).await;
        replica.uses_together(EventType::TicketIssued, policy, 0..1).await;
    }
    db.counts(&replica).await;
    assert_eq!(
        db.repos().await,
        [("o", 1000), ("p", 1201), ("q", 1000)].map(|(policy, repos)| (policy.to_owned(), repos))
    );
}

async fn old_uses_are_deleted(db: TestDatabase) {
    let replica = db.replica().await;
    // More than one statement deletes.
    record_repos(&db, "old", 2500).await;
    record_uses(&db, &["kept".to_owned()], "2026-07-01T00:00:00Z".parse().unwrap()).await;
    replica.log.reader().usage().tidy("2026-08-01T00:00:00Z".parse().unwrap()).await.unwrap();
    assert!(db.repos().await.is_empty());
    assert_eq!(db.uses().await.len(), 3);
}

async fn failed_redemptions_are_no_uses(db: TestDatabase) {
    let replica = db.replica().await;
    let failed = |policy: &str, ticket: bool| {
        let mut event = used_event(EventType::TicketFailed, policy, 0);
        event.ticket_id = ticket.then(|| TicketToken::random().unwrap().ticket_id());
        replica.log.record(event)
    };
    // The last event of a use alone is parsed: it must not be the redemption.
    for (policy, ticket) in [("redeemed", true), ("issued", false), ("issued", true)] {
        failed(policy, ticket).await.unwrap();
    }
    db.counts(&replica).await;
    assert_eq!(policies(&db, "matched").await, names(&["issued"]));
    db.counts_as_from_the_log(&replica).await;
}
