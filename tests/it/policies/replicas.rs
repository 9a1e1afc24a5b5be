//! Writes of one replica reach the others within a second; a database failure changes nothing.

use super::*;
use crate::rig::postgres::Postgres;
use claviger::policy::{PolicyStoreError, WritePrecondition};
use tokio::task::JoinHandle;

const A_SECOND: Duration = Duration::from_secs(1);

/// A replica that follows the writes of others until it is dropped.
struct Replica {
    register: Arc<PolicyRegister>,
    following: JoinHandle<()>,
}

impl Replica {
    fn follow(register: PolicyRegister) -> Self {
        let register = Arc::new(register);
        let mut written = register.listen();
        let follower = register.clone();
        let following = tokio::spawn(async move {
            loop {
                written.next().await;
                follower.catch_up().await;
            }
        });
        Self { register, following }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn see_each_others_writes(db: &TestDatabase) -> Duration {
    let one = Replica::follow(db.register().await);
    let other = Replica::follow(db.register().await);
    let mut slowest = Duration::ZERO;
    for round in 0..5 {
        let name = format!("p{round}");
        one.register.create(policy(&name, "x")).await.unwrap();
        assert!(active_policies(&one.register).contains(&name), "the policy is active in its own replica at once");
        slowest = slowest.max(wait_within(A_SECOND, || active_policies(&other.register).contains(&name)).await);

        let before = other.register.active_set().load_full();
        other.register.put(policy(&name, "y"), WritePrecondition::Any).await.unwrap();
        let revision = other.register.active_set().load().policies()[round].revision().clone();
        assert_ne!(before.policies()[round].revision(), &revision);
        let arrived = || one.register.active_set().load().policies()[round].revision() == &revision;
        slowest = slowest.max(wait_within(A_SECOND, arrived).await);
    }
    for round in 0..5 {
        let name = format!("p{round}");
        one.register.delete(&name, "alice", WritePrecondition::Any).await.unwrap();
        slowest = slowest.max(wait_within(A_SECOND, || !active_policies(&other.register).contains(&name)).await);
    }
    slowest
}

#[tokio::test]
async fn two_processes_on_one_sqlite_file_see_each_others_writes() {
    see_each_others_writes(&TestDatabase::sqlite_file()).await;
}

#[tokio::test]
async fn replicas_on_postgres_are_notified_without_polling() {
    let slowest = see_each_others_writes(&TestDatabase::postgres().await).await;
    assert!(slowest < Duration::from_millis(400), "{slowest:?}: slower than polling");
}

#[tokio::test]
async fn the_last_policies_stay_active_while_the_database_is_down() {
    let mut server = Postgres::start(&[]).unwrap();
    let db = TestDatabase { url: Url::Postgres(parse_postgres_url(&server.database().await)), _folder: None };
    let one = Replica::follow(db.register().await);
    let other = Replica::follow(db.register().await);
    one.register.create(policy("a", "x")).await.unwrap();
    wait_within(A_SECOND, || active_policies(&other.register) == ["a"]).await;

    server.stop();
    let (name, any) = ("a", || WritePrecondition::Any);
    let asked = tokio::join!(
        one.register.create(policy("b", "x")),
        one.register.put(policy(name, "y"), any()),
        one.register.delete(name, "alice", any()),
        other.register.get(name),
        other.register.list(None, 1),
        other.register.revisions(name, None, 1),
    );
    let failures = [asked.0.err(), asked.1.err(), asked.2.err(), asked.3.err(), asked.4.err(), asked.5.err()];
    assert_eq!(failures, [const { Some(PolicyStoreError::Unavailable) }; 6]);
    assert_eq!(
        (active_policies(&one.register), active_policies(&other.register)),
        (vec!["a".into()], vec!["a".into()])
    );

    server.start_again();
    let deadline = Instant::now() + Duration::from_secs(20);
    while one.register.create(policy("b", "x")).await.is_err() {
        assert!(Instant::now() < deadline, "the process does not recover");
    }
    wait_within(Duration::from_secs(10), || active_policies(&other.register) == ["a", "b"]).await;
    // Notifications work again, so the change is not only found by polling.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut slowest = Duration::ZERO;
    for name in ["c", "d", "e"] {
        one.register.create(policy(name, "x")).await.unwrap();
        slowest =
            slowest.max(wait_within(A_SECOND, || active_policies(&other.register).contains(&name.to_owned())).await);
    }
    assert!(slowest < Duration::from_millis(400), "{slowest:?}: slower than polling");
}

#[tokio::test]
async fn a_database_that_was_restored_is_read_anew() {
    let db = TestDatabase::sqlite_file();
    let register = db.register().await;
    for name in ["a", "b"] {
        register.create(policy(name, "x")).await.unwrap();
    }
    let database = db.database().await;
    for statement in ["DELETE FROM policies WHERE name = 'b'", "UPDATE policy_head SET revision = 1"] {
        database.run(statement, &[]).await.unwrap();
    }
    register.catch_up().await;
    assert_eq!(active_policies(&register), ["a"]);
}
