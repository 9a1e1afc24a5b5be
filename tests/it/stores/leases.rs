//! Dynamic leases: credentials of a real PostgreSQL, created, renewed and revoked by a real OpenBao.

mod adopted;
mod faults;
mod lifetime;
mod neighbours;
mod repeated;
mod restored;
mod written;

use super::{NO_CACHE, vault_settings};
use crate::rig::bao::{Bao, until};
use crate::rig::postgres::postgres;
use async_trait::async_trait;
use claviger::config::database::Url;
use claviger::config::stores::{Kind, Store, Vault, VaultAuthMethod};
use claviger::database::Database;
use claviger::metrics::Metrics;
use claviger::model::caller::{Caller, Identity, Pod, Workload};
use claviger::model::clock::SystemClock;
use claviger::model::lease::LeaseMode;
use claviger::model::request_id::RequestId;
use claviger::model::secret_ref::SecretRef;
use claviger::sealing::keys::RootKey;
use claviger::stores::{
    FetchError, LeaseEvent, LeaseEventKind, LeaseEventRecorder, LeaseSettings, LeaseView, ReadRequest, RecordingError,
    RevocationRequest, Stores,
};
use reqwest::Method;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const PER_POD: LeaseMode = LeaseMode::PerPod;
const SHARED: LeaseMode = LeaseMode::Shared;

/// Keeps the recorded events; a test can let it refuse them.
#[derive(Default)]
struct TestRecorder {
    events: Mutex<Vec<LeaseEvent>>,
    refuses: AtomicBool,
    /// Whether events that are recorded eventually wait.
    delays: AtomicBool,
}

#[async_trait]
impl LeaseEventRecorder for TestRecorder {
    async fn record(&self, event: LeaseEvent) -> Result<(), RecordingError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(RecordingError);
        }
        self.record_eventually(event).await;
        Ok(())
    }

    async fn record_eventually(&self, event: LeaseEvent) {
        while self.delays.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.events.lock().unwrap().push(event);
    }
}

/// The database in which leases are recorded. It outlives the processes that manage them.
struct TestDatabase {
    url: Url,
    folder: TempDir,
}

impl TestDatabase {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: Url::SqliteFile(folder.path().join("claviger.db")), folder }
    }

    async fn postgres() -> Self {
        let url = crate::rig::postgres::parse_postgres_url(&postgres().database().await);
        Self { url: Url::Postgres(url), folder: tempfile::tempdir().unwrap() }
    }
}

/// The lease manager of a process, with a store named `vault`.
struct LeaseManager {
    stores: Arc<Stores>,
    recorder: Arc<TestRecorder>,
    metrics: Arc<Metrics>,
    database: Database,
}

/// User and password.
type Credentials = (String, String);

impl LeaseManager {
    /// With the server's root token.
    async fn new(db: &TestDatabase, bao: &Bao) -> Self {
        Self::with_token(db, &bao.address, &bao.root).await
    }

    async fn with_token(db: &TestDatabase, address: &str, token: &str) -> Self {
        Self::with(db, address, token, |_| {}).await
    }

    async fn with(db: &TestDatabase, address: &str, token: &str, change: impl FnOnce(&mut Vault)) -> Self {
        Self::with_all(db, address, token, &["cluster"], change).await
    }

    /// With these authenticators, whose clusters report whether a pod exists.
    async fn with_clusters(db: &TestDatabase, address: &str, token: &str, clusters: &[&str]) -> Self {
        Self::with_all(db, address, token, clusters, |_| {}).await
    }

    async fn with_all(
        db: &TestDatabase,
        address: &str,
        token: &str,
        clusters: &[&str],
        change: impl FnOnce(&mut Vault),
    ) -> Self {
        let file: PathBuf = db.folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        let (auth, timeout) = (VaultAuthMethod::TokenFile(file), Duration::from_secs(5));
        let cache = claviger::config::cache::Cache { max_entries: 100, ..NO_CACHE };
        let mut vault = vault_settings(address, auth, timeout, cache);
        change(&mut vault);
        let stores = [Store { name: "vault".into(), kind: Kind::Vault(vault) }];
        Self::start(db, &stores, clusters, Arc::default()).await
    }

    async fn start(db: &TestDatabase, stores: &[Store], clusters: &[&str], recorder: Arc<TestRecorder>) -> Self {
        let metrics = Arc::new(Metrics::new(&[], &["vault"]).unwrap());
        let (stores, database) = (Stores::open(stores, &metrics).unwrap(), Database::open(&db.url).await.unwrap());
        let settings = LeaseSettings {
            database: database.clone(),
            key: RootKey::new([7; 32].into()),
            event_recorder: recorder.clone(),
            clock: Arc::new(SystemClock),
            clusters: clusters.iter().map(|name| (*name).into()).collect(),
        };
        Self { stores: Arc::new(stores.start_lease_manager(settings).unwrap()), recorder, metrics, database }
    }

    async fn read(&self, role: &str, mode: LeaseMode, caller: &Arc<Caller>) -> Result<Credentials, FetchError> {
        self.read_for(role, mode, caller, Duration::ZERO).await.map(|(credentials, _)| credentials)
    }

    /// Also returns the remaining time of the lease in seconds.
    #[expect(clippy::disallowed_methods, reason = "what came is what is tested")]
    async fn read_for(
        &self,
        role: &str,
        mode: LeaseMode,
        caller: &Arc<Caller>,
        life: Duration,
    ) -> Result<(Credentials, f64), FetchError> {
        // A role of another mount has its whole path.
        let path = if role.contains('/') { role.to_owned() } else { format!("database/creds/{role}") };
        let secret = SecretRef { store: "vault".into(), path };
        let request = RequestId::random();
        let granted = ReadRequest {
            secret: &secret,
            mode,
            caller,
            min_lifetime: life,
            write: None,
            pods_only: false,
            request_id: &request,
        };
        let reading = self.stores.read_for_caller(granted).await?;
        let value = |key: &str| reading.secret.data[key].as_ref().unwrap().expose_secret().to_owned();
        let left = reading.expires_at.unwrap().saturating_duration_since(tokio::time::Instant::now());
        Ok(((value("username"), value("password")), left.as_secs_f64()))
    }

    async fn list(&self) -> Vec<LeaseView> {
        self.stores.list_leases(None, 1000).await.unwrap()
    }

    /// The kinds of the events, with their reasons.
    fn events(&self) -> Vec<(LeaseEventKind, Option<&'static str>)> {
        self.recorder.events.lock().unwrap().iter().map(|event| (event.kind, event.reason)).collect()
    }

    fn count(&self, kind: LeaseEventKind) -> usize {
        self.events().iter().filter(|(one, _)| *one == kind).count()
    }

    /// The reason, the caller and the request of the only revocation.
    fn revocation(&self) -> (Option<&'static str>, Option<Identity>, Option<RequestId>) {
        let events = self.recorder.events.lock().unwrap();
        let mut revoked = events.iter().filter(|event| event.kind == LeaseEventKind::Revoked);
        let event = revoked.next().expect("a revocation");
        assert!(revoked.next().is_none(), "{events:?}");
        (event.reason, event.caller.as_ref().map(|caller| caller.identity()), event.request_id.clone())
    }

    fn counted(&self, series: &str) -> u64 {
        let text = String::from_utf8(self.metrics.encode().unwrap()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).unwrap().parse().unwrap()
    }

    fn active(&self) -> u64 {
        self.counted("claviger_leases_active{store=\"vault\"}")
    }
}

/// A build pod.
fn pod(name: &str) -> Arc<Caller> {
    pod_at("cluster", "ci", name)
}

fn pod_of(issuer: &str, name: &str) -> Arc<Caller> {
    pod_at(issuer, "ci", name)
}

fn pod_in(namespace: &str, name: &str) -> Arc<Caller> {
    pod_at("cluster", namespace, name)
}

fn pod_at(issuer: &str, namespace: &str, name: &str) -> Arc<Caller> {
    let workload = Workload {
        namespace: namespace.into(),
        service_account: "build-bot".into(),
        pod: Pod { name: name.into(), uid: format!("uid-of-{name}") },
    };
    Arc::new(Caller {
        issuer: issuer.into(),
        subject: "system:serviceaccount:ci:build-bot".into(),
        groups: Vec::new(),
        workload: Some(workload),
        unbound_account: None,
        claims: serde_json::Map::new(),
    })
}

/// A request of this administrator.
fn request_of(name: &str) -> RevocationRequest {
    RevocationRequest { by: pod(name), request_id: RequestId::random() }
}

/// Whether the credentials give access to a database.
async fn open(url: &str, (user, password): &Credentials) -> bool {
    postgres().accepts_login(url, user, password).await
}

#[tokio::test]
async fn each_pod_has_its_own_database_credentials_until_they_are_revoked() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let (one, other) = (pod("one"), pod("other"));
    let mine = manager.read("app", PER_POD, &one).await.unwrap();
    let theirs = manager.read("app", PER_POD, &other).await.unwrap();
    assert_ne!(mine, theirs);
    assert_eq!(manager.read("app", PER_POD, &one).await.unwrap(), mine, "the same pod gets the same lease");
    assert!(open(&url, &mine).await && open(&url, &theirs).await);
    assert_eq!((bao.leases_of("app").await, manager.active()), (2, 2));

    let leases = manager.list().await;
    assert_eq!(leases.len(), 2);
    let lease = leases.iter().find(|lease| lease.held_by.as_ref().is_some_and(|by| by.identity() == one.identity()));
    let lease = lease.unwrap();
    assert!(lease.is_dynamic && lease.renewable && !lease.stale);
    assert_eq!((&*lease.store, &*lease.path, lease.state.as_str()), ("vault", "database/creds/app", "active"));
    assert!(!lease.id.contains('/') && lease.acquired_at < lease.expires_at);

    manager.stores.revoke_leases_of(&one.identity());
    until("the lease of a finished pod to be revoked", async || !open(&url, &mine).await).await;
    until("the record to be deleted", async || manager.list().await.len() == 1).await;
    assert!(open(&url, &theirs).await, "the other pod keeps its lease");
    assert_ne!(manager.read("app", PER_POD, &one).await.unwrap(), mine);
    let acquired = (LeaseEventKind::Acquired, None);
    assert_eq!(manager.events(), [acquired, acquired, (LeaseEventKind::Revoked, Some("pod_ended")), acquired]);
    assert_eq!((bao.leases_of("app").await, manager.active()), (2, 2));
    assert_eq!(
        manager.counted("claviger_store_requests_total{operation=\"revoke\",outcome=\"ok\",store=\"vault\"}"),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_lease_is_created_once_and_others_once_per_pod() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("all", "1h", "2h").await;
    bao.database_role("each", "1h", "2h").await;
    let manager = Arc::new(LeaseManager::new(&db, &bao).await);
    let pods: Vec<_> = (0..4).map(|number| pod(&format!("p{number}"))).collect();
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..80 {
        let (manager, pod) = (manager.clone(), pods[number % 4].clone());
        readers.spawn(async move {
            (manager.read("all", SHARED, &pod).await.unwrap(), manager.read("each", PER_POD, &pod).await.unwrap())
        });
    }
    let read = readers.join_all().await;
    let distinct = |of: Vec<&Credentials>| of.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(distinct(read.iter().map(|(all, _)| all).collect()), 1);
    assert_eq!(distinct(read.iter().map(|(_, each)| each).collect()), 4);
    assert_eq!((bao.leases_of("all").await, bao.leases_of("each").await), (1, 4));
    assert!(open(&url, &read[0].0).await);
    manager.stores.revoke_leases_of(&pods[0].identity());
    until("the lease to be revoked", async || bao.leases_of("each").await == 3).await;
    assert!(open(&url, &read[0].0).await, "a shared lease outlives its pods");
    let shared: Vec<_> = manager.list().await.into_iter().filter(|lease| lease.held_by.is_none()).collect();
    assert_eq!((shared.len(), &*shared[0].path), (1, "database/creds/all"));
}

#[tokio::test]
async fn a_database_dump_contains_no_credential_and_no_lease_id() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let (user, password) = manager.read("app", PER_POD, &pod("one")).await.unwrap();
    let list = reqwest::Method::from_bytes(b"LIST").unwrap();
    let (_, answer) = bao.call(list, "sys/leases/lookup/database/creds/app", "").await;
    let handle = answer["data"]["keys"][0].as_str().unwrap().to_owned();
    manager.database.close().await;
    let mut seen = 0;
    for file in std::fs::read_dir(db.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap() == "token" {
            continue;
        }
        let bytes = std::fs::read(path).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has(&user) && !has(&password) && !has(&handle));
        seen += usize::from(has("database/creds/app"));
    }
    assert!(seen > 0, "the dump contains the record");
}
