//! The contract of every policy store.

use super::*;
use claviger::policy::{ChangeKind, PolicySource, PolicyStoreError, PutOutcome, WritePrecondition};
use tokio::task::JoinSet;

/// Runs each of these tests for every database.
macro_rules! on_every_database {
    ($($test:ident)*) => {
        mod sqlite_memory { $( #[tokio::test] async fn $test() { super::$test(super::TestDatabase::sqlite_memory()).await } )* }
        mod sqlite_file { $( #[tokio::test] async fn $test() { super::$test(super::TestDatabase::sqlite_file()).await } )* }
        mod postgres { $( #[tokio::test] async fn $test() { super::$test(super::TestDatabase::postgres().await).await } )* }
    };
}

on_every_database! {
    a_created_policy_is_listed_and_active
    a_name_is_taken_once
    a_put_returns_what_it_replaced
    the_write_precondition_decides
    one_of_fifty_racing_writers_wins
    racing_creators_make_one_policy
    revisions_record_who_changed_what
    lists_are_ordered_by_bytes_and_paged
    hostile_names_find_nothing
}

async fn a_created_policy_is_listed_and_active(db: TestDatabase) {
    let register = db.register().await;
    assert!(register.get("a").await.unwrap().is_none());
    let made = register.create(policy("a", "site")).await.unwrap();
    assert_eq!(active_policies(&register), ["a"]);
    let got = register.get("a").await.unwrap().unwrap();
    assert_eq!((got.revision, got.created_at, got.updated_at), (made.revision, made.created_at, made.updated_at));
    assert_eq!((got.updated_by.as_str(), got.source), ("alice", PolicySource::Api));
    assert_eq!(spec_as_json(&got.spec), spec_of("site"));

    let gone = register.delete("a", "bob", WritePrecondition::Any).await.unwrap();
    assert_eq!(spec_as_json(&gone.spec), spec_of("site"));
    assert!(register.get("a").await.unwrap().is_none() && active_policies(&register).is_empty());
    assert_eq!(register.delete("a", "bob", WritePrecondition::Any).await.unwrap_err(), PolicyStoreError::NotFound);
}

async fn a_name_is_taken_once(db: TestDatabase) {
    let register = db.register().await;
    register.create(policy("a", "site")).await.unwrap();
    assert_eq!(register.create(policy("a", "other")).await.unwrap_err(), PolicyStoreError::AlreadyExists);
    assert_eq!(spec_as_json(&register.get("a").await.unwrap().unwrap().spec), spec_of("site"));
}

async fn a_put_returns_what_it_replaced(db: TestDatabase) {
    let register = db.register().await;
    let (first, change) = register.put(policy("a", "site"), WritePrecondition::Any).await.unwrap();
    assert_eq!(change, PutOutcome::Created);
    let (second, change) = register.put(policy("a", "site"), WritePrecondition::Any).await.unwrap();
    assert_eq!(change, PutOutcome::Updated);
    assert_ne!(first.revision, second.revision, "each write has its own revision");
    assert_eq!(first.created_at, second.created_at);
    assert!(second.updated_at >= first.updated_at);

    // A reused name starts without history, and no revision is used twice.
    register.delete("a", "alice", WritePrecondition::Any).await.unwrap();
    let third = register.create(policy("a", "site")).await.unwrap();
    assert!(third.revision != first.revision && third.revision != second.revision);
    assert!(third.created_at >= second.updated_at);
}

async fn the_write_precondition_decides(db: TestDatabase) {
    use PolicyStoreError::{NotFound, PreconditionFailed};
    let register = db.register().await;
    let revision = |text: &str| WritePrecondition::Revision(text.to_owned());
    assert_eq!(register.put(policy("a", "x"), revision("1")).await.unwrap_err(), PreconditionFailed);
    assert_eq!(register.delete("a", "alice", revision("1")).await.unwrap_err(), NotFound);

    let (first, _) = register.put(policy("a", "x"), WritePrecondition::Absent).await.unwrap();
    assert_eq!(register.put(policy("a", "y"), WritePrecondition::Absent).await.unwrap_err(), PreconditionFailed);
    let (second, _) = register.put(policy("a", "y"), revision(&first.revision)).await.unwrap();
    for wrong in [first.revision.as_str(), "", "0", "nonsense", "\0", &format!("0{}", second.revision)] {
        assert_eq!(register.put(policy("a", "z"), revision(wrong)).await.unwrap_err(), PreconditionFailed, "{wrong}");
        assert_eq!(register.delete("a", "alice", revision(wrong)).await.unwrap_err(), PreconditionFailed, "{wrong}");
    }
    assert_eq!(spec_as_json(&register.get("a").await.unwrap().unwrap().spec), spec_of("y"));
    register.delete("a", "alice", revision(&second.revision)).await.unwrap();
}

/// One register serialises its writers. Here the database must decide, so each concurrent writer has its own register.
async fn registers(database: &Database, count: usize) -> Vec<PolicyRegister> {
    let opened = (0..count).map(|_| open(database.clone(), None));
    futures_util::future::join_all(opened).await.into_iter().map(Result::unwrap).collect()
}

async fn one_of_fifty_racing_writers_wins(db: TestDatabase) {
    let database = db.database().await;
    let here = open(database.clone(), None).await.unwrap();
    let first = here.create(policy("a", "start")).await.unwrap();
    let mut race = JoinSet::new();
    for (racer, register) in registers(&database, 50).await.into_iter().enumerate() {
        let expected = WritePrecondition::Revision(first.revision.clone());
        race.spawn(async move { register.put(policy("a", &format!("racer-{racer}")), expected).await });
    }
    let (mut won, mut lost) = (Vec::new(), 0);
    for result in race.join_all().await {
        match result {
            Ok((policy, change)) => {
                assert_eq!(change, PutOutcome::Updated);
                won.push(policy);
            }
            Err(PolicyStoreError::PreconditionFailed) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won.len(), lost), (1, 49));
    let now = here.get("a").await.unwrap().unwrap();
    assert_eq!((now.revision, spec_as_json(&now.spec)), (won[0].revision.clone(), spec_as_json(&won[0].spec)));
    assert_eq!(here.revisions("a", None, 100).await.unwrap().len(), 2);
}

async fn racing_creators_make_one_policy(db: TestDatabase) {
    let database = db.database().await;
    let mut race = JoinSet::new();
    for (racer, register) in registers(&database, 20).await.into_iter().enumerate() {
        race.spawn(async move { register.create(policy("a", &format!("racer-{racer}"))).await.map(|_| ()) });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == Err(PolicyStoreError::AlreadyExists)).count(), 19);
}

async fn revisions_record_who_changed_what(db: TestDatabase) {
    let register = db.register().await;
    assert_eq!(register.revisions("a", None, 10).await.unwrap_err(), PolicyStoreError::NotFound);
    register.create(policy("a", "x")).await.unwrap();
    register.create(policy("other", "x")).await.unwrap();
    let bobs = NewPolicy { written_by: "bob\0\n".into(), ..policy("a", "y") };
    register.put(bobs, WritePrecondition::Any).await.unwrap();
    register.delete("a", "carol", WritePrecondition::Any).await.unwrap();

    let revisions = register.revisions("a", None, 10).await.unwrap();
    let told: Vec<_> = revisions.iter().map(|one| (one.changed_by.as_str(), one.kind)).collect();
    assert_eq!(
        told,
        [("carol", ChangeKind::Deleted), ("bob\u{FFFD}\n", ChangeKind::Updated), ("alice", ChangeKind::Created)]
    );
    assert!(
        revisions.is_sorted_by(|newer, older| newer.revision > older.revision && newer.changed_at >= older.changed_at)
    );
    let diffs: Vec<Value> = revisions.iter().map(|one| serde_json::to_value(&one.diff).unwrap()).collect();
    assert_eq!(
        diffs,
        [
            json!([{"pointer": "", "before": spec_of("y")}]),
            json!([{"pointer": "/repos/0", "before": "x", "after": "y"}]),
            json!([{"pointer": "", "after": spec_of("x")}]),
        ]
    );

    let first = register.revisions("a", None, 2).await.unwrap();
    let rest = register.revisions("a", Some(first[1].revision), 2).await.unwrap();
    assert_eq!([first, rest].concat(), revisions);
    assert!(register.revisions("a", Some(0), 2).await.unwrap().is_empty());
}

async fn lists_are_ordered_by_bytes_and_paged(db: TestDatabase) {
    let folder = tempfile::tempdir().unwrap();
    let files = directory(folder.path(), &[("a.b", spec_of("x")), ("b0", spec_of("x")), ("zz", spec_of("x"))]);
    let register = open(db.database().await, Some(files)).await.unwrap();
    for name in ["b", "a-b", "a", "ab", "b-1", "0"] {
        register.create(policy(name, "x")).await.unwrap();
    }
    let whole = ["0", "a", "a-b", "a.b", "ab", "b", "b-1", "b0", "zz"];
    assert_eq!(listed_policies(&register).await, whole);
    assert_eq!(active_policies(&register), whole);
    for limit in 1..=whole.len() + 1 {
        let mut paged: Vec<String> = Vec::new();
        loop {
            let page = register.list(paged.last().map(String::as_str), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            paged.extend(page.into_iter().map(|policy| policy.name));
        }
        assert_eq!(paged, whole, "{limit} at a time");
    }
}

async fn hostile_names_find_nothing(db: TestDatabase) {
    let register = db.register().await;
    register.create(policy("a", "x")).await.unwrap();
    for name in ["", "\0", "a\0", "A", "%", "a' OR '1'='1", "é", &"a".repeat(100_000)] {
        assert!(register.get(name).await.unwrap().is_none());
        assert_eq!(register.delete(name, "", WritePrecondition::Any).await.unwrap_err(), PolicyStoreError::NotFound);
        assert_eq!(register.revisions(name, None, 1).await.unwrap_err(), PolicyStoreError::NotFound);
        register.list(Some(name), 1).await.unwrap();
    }
    assert_eq!(listed_policies(&register).await, ["a"]);
}
