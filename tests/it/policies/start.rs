//! Starts with files that have the name of a stored policy, with policies that do not compile,
//! with restored databases and old schemas.

use super::*;
use crate::rig::postgres::Postgres;
use claviger::database::OpenError;
use claviger::model::branch::Branch;
use claviger::model::caller::{Caller, Pod};
use claviger::model::facts::Facts;
use claviger::model::repo::Repo;
use claviger::model::request::UnverifiedRequest;
use claviger::policy::{Decision, Denial, PolicySource, PolicyStoreError, WritePrecondition};
use jiff::Timestamp;
use std::net::Ipv4Addr;

async fn written_by_another_version(database: &Database, name: &str, revision: i64, spec: &str) {
    let at = "2026-01-01T00:00:00.000000Z";
    let row = [name.into(), revision.into(), at.into(), at.into(), "alice".into(), spec.into()];
    database.insert("policies (name, revision, created_at, updated_at, updated_by, spec)", 6, &row).await.unwrap();
    let row = [name.into(), revision.into(), at.into(), "alice".into(), "created".into(), "[]".into()];
    database.insert("policy_revisions (name, revision, at, by, change, diff)", 6, &row).await.unwrap();
    database.run("UPDATE policy_head SET revision = $1", &[revision.into()]).await.unwrap();
}

#[tokio::test]
async fn policies_of_files_are_listed_and_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let known = directory(folder.path(), &[("filed", spec_of("x"))]);
    let register = open(TestDatabase::sqlite_memory().database().await, Some(known)).await.unwrap();
    let filed = register.get("filed").await.unwrap().unwrap();
    assert_eq!((filed.source, filed.updated_by.as_str()), (PolicySource::File, "filed.yaml"));
    assert_eq!(spec_as_json(&filed.spec), spec_of("x"));
    assert!(filed.updated_at.as_second() > 1_700_000_000);

    let read_only = PolicyStoreError::ReadOnly;
    assert_eq!(register.create(policy("filed", "y")).await.unwrap_err(), read_only);
    assert_eq!(register.put(policy("filed", "y"), WritePrecondition::Any).await.unwrap_err(), read_only);
    assert_eq!(register.delete("filed", "alice", WritePrecondition::Any).await.unwrap_err(), read_only);
    let same = WritePrecondition::Revision(filed.revision);
    assert_eq!(register.put(policy("filed", "y"), same.clone()).await.unwrap_err(), read_only);
    assert_eq!(register.delete("filed", "alice", same).await.unwrap_err(), read_only);
    assert!(register.revisions("filed", None, 1).await.unwrap().is_empty());
    register.create(policy("free", "y")).await.unwrap();
    assert_eq!(active_policies(&register), ["filed", "free"]);
}

#[tokio::test]
async fn a_file_outranks_the_database_whichever_came_first() {
    let folder = tempfile::tempdir().unwrap();
    let db = TestDatabase::sqlite_file();
    let elsewhere = db.register().await;
    elsewhere.create(new_policy("p", spec_of("stored"))).await.unwrap();

    let register = open(db.database().await, Some(directory(folder.path(), &[]))).await.unwrap();
    let stored = register.active_set().load().policies()[0].revision().clone();
    // One file stays: an empty directory would be a fault that changes nothing.
    crate::rig::claviger::write_policies(folder.path(), &[("p", deny("filed")), ("q", deny("filed"))]);
    register.reload_files().await;
    assert_eq!(listed_policies(&register).await, ["p", "q"]);
    assert_eq!(register.get("p").await.unwrap().unwrap().source, PolicySource::File);
    assert!(register.active_set().load().policies()[0].denies());

    // A write on another replica does not either; that replica does not know the file yet.
    elsewhere.put(policy("p", "again"), WritePrecondition::Any).await.unwrap();
    register.catch_up().await;
    assert!(register.active_set().load().policies()[0].denies());

    // Deleting either of them ends the conflict.
    std::fs::remove_file(folder.path().join("p.yaml")).unwrap();
    register.reload_files().await;
    let now = register.active_set().load().policies()[0].clone();
    assert!(!now.denies() && now.revision() != &stored);
    crate::rig::claviger::write_policies(folder.path(), &[("p", deny("filed"))]);
    register.reload_files().await;
    register.delete("p", "alice", WritePrecondition::Any).await.unwrap();
    assert_eq!(register.delete("p", "alice", WritePrecondition::Any).await.unwrap_err(), PolicyStoreError::ReadOnly);
    assert!(register.active_set().load().policies()[0].denies());
}

#[tokio::test]
async fn an_allow_policy_that_does_not_compile_is_out_of_force_and_can_be_replaced() {
    let database = TestDatabase::sqlite_memory().database().await;
    let mut of_a_store_that_is_gone = spec_of("x");
    of_a_store_that_is_gone["secrets"][0]["store"] = "gone".into();
    written_by_another_version(&database, "gone", 1, &of_a_store_that_is_gone.to_string()).await;
    written_by_another_version(&database, "good", 2, &spec_of("x").to_string()).await;
    let register = open(database, None).await.unwrap();
    assert_eq!(active_policies(&register), ["good"]);
    assert_eq!(listed_policies(&register).await, ["gone", "good"]);
    register.put(policy("gone", "x"), WritePrecondition::Revision("1".into())).await.unwrap();
    assert_eq!(active_policies(&register), ["gone", "good"]);
}

#[tokio::test]
async fn stored_claims_that_look_like_a_name_stay_in_force_and_can_be_corrected() {
    let database = TestDatabase::sqlite_memory().database().await;
    let with = |mut spec: Value, actor: Value| {
        spec["subjects"] = json!([{"oidc": {"issuer": "github", "claims": {"actor": actor}}}]);
        spec
    };
    let old = || json!("dependabot[bot]");
    written_by_another_version(&database, "bots", 1, &with(spec_of("x"), old()).to_string()).await;
    written_by_another_version(&database, "no-bots", 2, &with(deny("x"), old()).to_string()).await;
    let register = open(database, None).await.unwrap();
    assert_eq!(active_policies(&register), ["bots", "no-bots"]);
    for (name, spec, revision) in [("bots", spec_of("x"), "1"), ("no-bots", deny("x"), "2")] {
        let expected = WritePrecondition::Revision(revision.into());
        assert!(compiled(name, with(spec.clone(), old()), &bounds()).is_err(), "the policy can no longer be written");
        register.put(new_policy(name, with(spec, json!({"is": "dependabot[bot]"}))), expected).await.unwrap();
    }
    assert_eq!(active_policies(&register), ["bots", "no-bots"]);
}

/// Whether the request of the ServiceAccount `build-bot` for this repo is denied by a policy.
fn denies(register: &PolicyRegister, repo: &str) -> bool {
    let account = Some(("ci".to_owned(), "build-bot".to_owned()));
    let pod = Pod { name: "pod".into(), uid: "uid".into() };
    let caller = Caller::from_event("cluster", "system:serviceaccount:ci:build-bot", account, Some(pod));
    let request = UnverifiedRequest {
        repo: Repo::try_from(repo).ok(),
        branch: Branch::try_from("main").ok(),
        source_ip: Ipv4Addr::LOCALHOST.into(),
        time: Timestamp::UNIX_EPOCH,
    };
    match register.active_set().load().decide(&caller, &Facts::default(), &request) {
        Decision::Granted(_) => false,
        Decision::Denied(Denial::DeniedByPolicy(_)) => true,
        other => panic!("{other:?}"),
    }
}

/// Stores a spec as the next revision of a policy.
async fn replaced_by_another_version(database: &Database, name: &str, spec: &str) {
    database.run("DELETE FROM policies WHERE name = $1", &[name.into()]).await.unwrap();
    let head = database.run("SELECT revision FROM policy_head", &[]).await.unwrap()[0].number(0).unwrap();
    written_by_another_version(database, name, head + 1, spec).await;
}

#[tokio::test]
async fn a_deny_policy_that_never_compiled_denies_what_can_be_read_of_it_on_each_replica() {
    let of_x = deny("x");
    let with = |name: &str, value: Value| {
        let mut spec = of_x.clone();
        spec[name] = value;
        spec.to_string()
    };
    // Each with whether it denies the repos x and y.
    for (bad, denied) in [
        (with("subjects", json!([])), [true, false]),
        (with("repos", json!(["["])), [true, true]),
        (with("unknownToThisVersion", json!(1)), [true, false]),
        (with("effect", json!("quarantine")), [true, false]),
        (with("subjects", json!([{"kubernetes": {"namespaces": ["other"], "unknown": 1}}])), [true, false]),
        (r#"{"effect": "quarantine"}"#.to_owned(), [true, true]),
        ("null".to_owned(), [true, true]),
        ("no JSON".to_owned(), [true, true]),
        // It does not deny.
        (with("effect", json!("allow")), [false, false]),
    ] {
        let db = TestDatabase::sqlite_file();
        let (running, database) = (db.register().await, db.database().await);
        running.create(policy("allow-x", "x")).await.unwrap();
        running.create(policy("allow-y", "y")).await.unwrap();
        replaced_by_another_version(&database, "no-sandbox", &bad).await;
        running.catch_up().await;
        let started = db.register().await;
        for register in [&running, &started] {
            assert_eq!(["x", "y"].map(|repo| denies(register, repo)), denied, "{bad}");
        }
        // It is listed, and can be corrected and deleted.
        assert_eq!(listed_policies(&started).await, ["allow-x", "allow-y", "no-sandbox"]);
        started.put(new_policy("no-sandbox", deny("y")), WritePrecondition::Revision("3".into())).await.unwrap();
        running.catch_up().await;
        for register in [&running, &started] {
            assert_eq!(["x", "y"].map(|repo| denies(register, repo)), [false, true], "{bad}");
        }
    }
}

#[tokio::test]
async fn a_deny_policy_that_stops_compiling_later_keeps_its_last_good_version() {
    let db = TestDatabase::sqlite_file();
    let (register, database) = (db.register().await, db.database().await);
    register.create(new_policy("deny", deny("x"))).await.unwrap();
    register.create(policy("allow", "x")).await.unwrap();
    let good = register.active_set().load().policies()[1].revision().clone();
    for (name, spec) in [("deny", r#"{"effect": "deny"}"#), ("allow", "{}"), ("new", r#"{"effect": "deny"}"#)] {
        replaced_by_another_version(&database, name, spec).await;
    }
    register.catch_up().await;
    assert_eq!(
        active_policies(&register),
        ["deny", "new"],
        "the allow policy is inactive, the deny policy stays, the new one denies what can be read of it"
    );
    assert_eq!(register.active_set().load().policies()[0].revision(), &good);
    // Each later version that does not compile is read again, unless there is a version that does.
    for (name, spec) in [("deny", json!({"effect": "deny"})), ("new", deny("y"))] {
        let mut spec = spec;
        spec["unknownToThisVersion"] = json!(1);
        replaced_by_another_version(&database, name, &spec.to_string()).await;
    }
    register.create(policy("allow", "z")).await.unwrap_err();
    register.put(policy("allow", "z"), WritePrecondition::Any).await.unwrap();
    register.catch_up().await;
    assert_eq!(register.active_set().load().get("deny").unwrap().revision(), &good);
    assert!(!denies(&register, "z"));
}

#[tokio::test]
async fn a_postgres_that_may_lose_commits_is_refused() {
    for (setting, why) in [
        ("fsync=off", "fsync is off"),
        ("full_page_writes=off", "full_page_writes is off"),
        (
            "synchronous_commit=off",
            "synchronous_commit is neither on nor remote_apply; database.allowDataLoss: true accepts this",
        ),
        (
            "synchronous_commit=local",
            "synchronous_commit is neither on nor remote_apply; database.allowDataLoss: true accepts this",
        ),
    ] {
        let server = Postgres::start(&[setting]).unwrap();
        let url = Url::Postgres(parse_postgres_url(&server.database().await));
        match Database::open(&url).await {
            Err(OpenError::MayLoseCommits(told)) => assert_eq!(told, why),
            other => panic!("{setting}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    let db = TestDatabase::postgres().await;
    let starts = (0..5).map(|_| db.database());
    let databases = futures_util::future::join_all(starts).await;
    for database in &databases {
        let count = "SELECT count(*), count(DISTINCT version) FROM _sqlx_migrations WHERE success";
        let rows = database.run(count, &[]).await.unwrap();
        let (all, distinct) = (rows[0].number(0).unwrap(), rows[0].number(1).unwrap());
        assert!(all >= 2 && all == distinct, "{all} {distinct}");
    }
    // A start with a current schema changes nothing.
    open(db.database().await, None).await.unwrap().create(policy("a", "x")).await.unwrap();
    assert_eq!(active_policies(&db.register().await), ["a"]);
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_tell_it() {
    let url = postgres().database().await;
    let (before, after) = url.split_once("claviger:").unwrap();
    let wrong = format!("{before}claviger:hunter2{}", &after[after.find('@').unwrap()..]);
    let error = Database::open(&Url::Postgres(parse_postgres_url(&wrong))).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}
