//! The contenders: Claviger in several configurations, and the alternatives that users have.

use crate::bare::Bare;
use crate::connection::{Server, request};
use crate::load::{Contender, First, Then};
use crate::rig::bao::Bao;
use crate::rig::claviger::Claviger;
use crate::rig::installation::InstallationSetup;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::{User, control_plane};
use crate::rig::pgbouncer::PgBouncer;
use crate::rig::postgres::postgres;
use crate::tokens::{Mint, Pool, api_server, bearer_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const TEXT: (&str, &str) = ("Accept", "text/plain");
const ASKED: &str = "repo=site&branch=main";

/// Number of pods whose tokens call replicas that share a database. Replicas take turns at a caller, so calls of a single pod would
/// measure waiting for its lock.
pub const CALLING_PODS: usize = 16;

/// The names in the results.
pub const BARE: &str = "bare axum";
pub const MEMORY: &str = "claviger, tickets in memory";
pub const FORGETFUL: &str = "claviger, audit in memory";
pub const SQLITE: &str = "claviger, tickets in SQLite";
pub const POSTGRES: &str = "claviger x 3 on PostgreSQL";
pub const NEVER_SEEN: &str = "claviger, never-seen tokens";
pub const REVIEWS: &str = "TokenReview + GET Pod";
pub const RUNS: &str = "claviger, never-seen tokens of runs";
pub const CHAIN: &str = "TokenReview + GET Pod and runs";
pub const WRAP: &str = "OpenBao wrap + unwrap";
pub const LOGIN: &str = "OpenBao login + read";
pub const VAULT_READ: &str = "claviger, Vault-compatible read";
pub const KV_READ: &str = "OpenBao KV read";
pub const VAULT_LOGIN: &str = "claviger, Vault-compatible login";
pub const POOLED: &str = "claviger x 3 on PostgreSQL, through PgBouncer";
/// What a contender is compared with: itself in another build, or without the pooler.
const BEFORE: [(&str, &str); 4] = [
    (MEMORY, "build before, tickets in memory"),
    (NEVER_SEEN, "build before, never-seen tokens"),
    (POSTGRES, "build before, x 3 on PostgreSQL"),
    (POOLED, POSTGRES),
];

/// All processes and contenders.
pub struct Field {
    pub contenders: Vec<Arc<Contender>>,
    /// Index of the replica whose store reads are counted.
    pub counted: usize,
    pub replicas: Vec<Claviger>,
    /// Tokens that a run consumes.
    pub pools: Vec<Tokens>,
    _bare: Option<Bare>,
    _bao: Bao,
    _kube: Kube,
    _pooler: Option<PgBouncer>,
}

/// The tokens of a contender.
pub struct Tokens {
    pub of: &'static str,
    pool: Pool,
    mint: Arc<Mint>,
    audience: &'static str,
}

impl Field {
    /// Fills the pool of a contender that consumes tokens.
    pub async fn fill(&self, contender: &str, count: usize) {
        if let Some(tokens) = self.pools.iter().find(|tokens| tokens.of == contender) {
            tokens.mint.fill(&tokens.pool, tokens.audience, count).await;
        }
    }
}

/// The name of what a contender is compared with.
pub fn before(name: &str) -> Option<&'static str> {
    BEFORE.iter().find(|(now, _)| *now == name).map(|(_, before)| *before)
}

/// This build and another one, each with a replica for cached tokens, one for new tokens, and three on PostgreSQL; and three
/// replicas of this build on PostgreSQL through a pooler.
pub async fn line_up_builds(other: &Path) -> Field {
    let setup = setup().await;
    let mint = Arc::new(Mint::new(&setup.kube).await);
    let known = setup.kube.pod("ci/build-bot").await.token;
    let (mut contenders, mut replicas, mut pools) = (Vec::new(), Vec::new(), Vec::new());
    for binary in [None, Some(other)] {
        let name = |name| if binary.is_some() { before(name).unwrap() } else { name };
        for pooled in [false, true] {
            let replica = match binary {
                None => replica(&setup, &json!({}), "memory"),
                Some(binary) => replica_of(&setup, binary, None),
            };
            let pool = Pool::default();
            let (name, asks) = if pooled {
                let (of, mint) = (name(NEVER_SEEN), mint.clone());
                pools.push(Tokens { of, pool: pool.clone(), mint, audience: "claviger" });
                (name(NEVER_SEEN), asks_from(pool))
            } else {
                (name(MEMORY), asks_with(&known))
            };
            contenders.push(contender(
                name,
                &[replica.api],
                &[replica.api],
                asks,
                Box::new(fetches),
                vec![replica.id()],
            ));
            replicas.push(replica);
        }
    }
    let builds = tokens_of_pods(&setup.kube).await;
    let key = database_key(&setup);
    let pooler = PgBouncer::start(&postgres().database().await, "transaction", &[]);
    for (name, binary, url) in [
        (POSTGRES, None, postgres().database().await),
        (before(POSTGRES).unwrap(), Some(other), postgres().database().await),
        (POOLED, None, pooler.url().to_owned()),
    ] {
        let database = json!({"url": url, "keyFile": key});
        let start = || match binary {
            None => replica(&setup, &database, "database"),
            Some(binary) => replica_of(&setup, binary, Some(&database)),
        };
        let sharing: Vec<Claviger> = (0..3).map(|_| start()).collect();
        contenders.push(sharing_tickets(name, &sharing, &builds));
        replicas.extend(sharing);
    }
    let InstallationSetup { kube, bao, .. } = setup;
    Field { contenders, counted: 0, replicas, pools, _bare: None, _bao: bao, _kube: kube, _pooler: Some(pooler) }
}

/// A file with a key for replicas that share a database.
fn database_key(setup: &InstallationSetup) -> PathBuf {
    let key = setup.folder.path().join("database-key");
    std::fs::write(&key, STANDARD.encode([7; 32])).unwrap();
    key
}

/// A token of each of [`CALLING_PODS`] pods.
async fn tokens_of_pods(kube: &Kube) -> Vec<String> {
    let mut tokens = Vec::with_capacity(CALLING_PODS);
    for _ in 0..CALLING_PODS {
        tokens.push(kube.pod("ci/build-bot").await.token);
    }
    tokens
}

/// Replicas that share a database. Each connection redeems at another replica than the issuing one. The pods of the tokens ask in
/// turn.
fn sharing_tickets(name: &'static str, replicas: &[Claviger], tokens: &[String]) -> Arc<Contender> {
    let ours: Vec<SocketAddr> = replicas.iter().map(|replica| replica.api).collect();
    let next: Vec<SocketAddr> = (0..ours.len()).map(|at| ours[(at + 1) % ours.len()]).collect();
    let requests: Vec<Vec<u8>> = tokens.iter().map(|token| asks(token)).collect();
    let asks_in_turn = Box::new(move |cycle: usize| Some(requests[cycle % requests.len()].clone()));
    contender(name, &ours, &next, asks_in_turn, Box::new(fetches), replicas.iter().map(Claviger::id).collect())
}

async fn setup() -> InstallationSetup {
    let mut setup = InstallationSetup::new().await;
    setup.bao.put("homelab/shared", &[("REGISTRY", "registry.example"), ("NPM_TOKEN", "shared-npm-token")]).await;
    setup.bao.put("homelab/site/main", &[("NPM_TOKEN", "it's the one of main")]).await;
    setup.config["audit"] = json!({"stdout": false});
    setup
}

/// A policy for what is read through the Vault-compatible API, which the delivery `direct` allows.
fn lets_clients_of_vault_read(setup: &InstallationSetup) {
    setup.policy(
        "vault-clients",
        json!({
            "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
            "repos": ["vault-clients"], "branches": ["main"], "delivery": ["direct"],
            "secrets": [{"store": "vault", "path": "homelab/site/main"}],
        }),
    );
}

/// A policy for pods of Tekton's runs. The subjects are other ones than those of the other policies, so that only these callers are
/// attested.
fn lets_runs_attest(setup: &InstallationSetup) {
    setup.policy(
        "runs",
        json!({
            "subjects": [{"kubernetes": {"namespaces": ["runs"], "serviceAccounts": ["build-bot"]}}],
            "repos": ["site"], "branches": ["main"], "attest": {"repo": "caller.pipelineRun.params['repo']"},
            "secrets": [{"store": "vault", "path": "homelab/shared"}, {"store": "vault", "path": "homelab/site/main"}],
        }),
    );
}

/// Starts everything, with this many pods of Tekton's runs.
pub async fn line_up(runs: usize) -> Field {
    let setup = setup().await;
    lets_runs_attest(&setup);
    setup.bao.kubernetes_role("builds", ["ci", "build-bot"], &["claviger"]).await;
    lets_clients_of_vault_read(&setup);
    let key = database_key(&setup);
    let database = postgres().database().await;

    let replicas = start_replicas(&setup, &database, &key);
    let bare = Bare::start();
    let mint = Arc::new(Mint::new(&setup.kube).await);
    let known = setup.kube.pod("ci/build-bot").await.token;
    let builds = tokens_of_pods(&setup.kube).await;
    let of_runs = Arc::new(Mint::of_runs(&setup.kube, runs).await);
    let [never_seen, reviewed, logged_in, compatible, attested, chained] = [(); 6].map(|()| Pool::default());

    let ([memory, sqlite, unseen, forgetful, vault_reads, vault_logins, attesting], sharing) =
        replicas.split_first_chunk().unwrap();
    let bao: SocketAddr = setup.bao.address.split_once("://").unwrap().1.parse().unwrap();
    let planes: Vec<u32> = control_plane().processes().into();
    let with = |extra: &[u32]| [&planes, extra].concat();
    let contenders = vec![
        contender(BARE, &[bare.address], &[bare.address], asks_with(&known), Box::new(fetches), vec![bare.id()]),
        at_one(MEMORY, memory, asks_with(&known)),
        at_one(FORGETFUL, forgetful, asks_with(&known)),
        at_one(SQLITE, sqlite, asks_with(&known)),
        sharing_tickets(POSTGRES, sharing, &builds),
        contender(WRAP, &[bao], &[bao], wraps(&setup.bao.root), Box::new(unwraps), vec![setup.bao.id()]),
        contender(
            LOGIN,
            &[bao],
            &[bao],
            logs_in(logged_in.clone()),
            Box::new(|answer| reads(answer, STORED)),
            with(&[setup.bao.id()]),
        ),
        twice(VAULT_READ, vault_reads.api, read(&known, COMPATIBLE), vec![vault_reads.id()]),
        twice(KV_READ, bao, read(&setup.bao.root, STORED), vec![setup.bao.id()]),
        contender(
            VAULT_LOGIN,
            &[vault_logins.api],
            &[vault_logins.api],
            logs_in(compatible.clone()),
            Box::new(|answer| reads(answer, COMPATIBLE)),
            with(&[vault_logins.id()]),
        ),
        at_one(NEVER_SEEN, unseen, asks_from(never_seen.clone())),
        Arc::new(Contender {
            name: REVIEWS,
            first_at: vec![api_server()],
            then_at: vec![api_server()],
            first: reviews(reviewed.clone()),
            then: vec![gets_the_pod("ci")],
            processes: planes.clone(),
        }),
        at_one(RUNS, attesting, asks_from(attested.clone())),
        Arc::new(Contender {
            name: CHAIN,
            first_at: vec![api_server()],
            then_at: vec![api_server()],
            first: reviews(chained.clone()),
            then: vec![gets_the_pod("runs"), gets_the_owner("taskruns"), gets_the_owner("pipelineruns")],
            processes: planes.clone(),
        }),
    ];
    let tokens = |of, pool, mint: &Arc<Mint>, audience| Tokens { of, pool, mint: mint.clone(), audience };
    let pools = vec![
        tokens(NEVER_SEEN, never_seen, &mint, "claviger"),
        tokens(REVIEWS, reviewed, &mint, "claviger"),
        tokens(LOGIN, logged_in, &mint, "openbao"),
        tokens(VAULT_LOGIN, compatible, &mint, "claviger"),
        tokens(RUNS, attested, &of_runs, "claviger"),
        tokens(CHAIN, chained, &of_runs, "claviger"),
    ];
    let InstallationSetup { kube, bao, .. } = setup;
    Field { contenders, counted: 0, replicas, pools, _bare: Some(bare), _bao: bao, _kube: kube, _pooler: None }
}

/// The replicas in the order in which [`line_up`] names them; the last three share a database.
fn start_replicas(setup: &InstallationSetup, database: &str, key: &Path) -> Vec<Claviger> {
    [
        (json!({}), "memory"),
        (json!({}), "database"),
        (json!({}), "memory"),
        (json!({"url": "sqlite::memory:"}), "memory"),
        (json!({}), "memory"),
        (json!({}), "memory"),
        (json!({}), "memory"),
        (json!({"url": database, "keyFile": key}), "database"),
        (json!({"url": database, "keyFile": key}), "database"),
        (json!({"url": database, "keyFile": key}), "database"),
    ]
    .into_iter()
    .map(|(database, tickets)| replica(setup, &database, tickets))
    .collect()
}

fn replica(setup: &InstallationSetup, database: &Value, tickets: &str) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vault-token", "database-key"] {
        let from = setup.folder.path().join(file);
        if from.exists() {
            std::fs::copy(from, folder.path().join(file)).unwrap();
        }
    }
    let mut config = setup.config.clone();
    config["policies"]["directory"] = json!(setup.folder.path().join("policies"));
    config["database"] = database.clone();
    config["tickets"]["store"] = json!(tickets);
    Claviger::serve_in(folder, config)
}

/// A replica of another build, from commit 2b096b52 on: earlier ones lack `reviewsPerSecond`, and refuse unknown settings.
fn replica_of(setup: &InstallationSetup, binary: &Path, database: Option<&Value>) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(setup.folder.path().join("vault-token"), folder.path().join("vault-token")).unwrap();
    let mut config = setup.config.clone();
    config["server"] = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"});
    config["policies"]["directory"] = json!(setup.folder.path().join("policies"));
    let own = json!({"url": format!("sqlite://{}", folder.path().join("claviger.db").display())});
    config["database"] = database.unwrap_or(&own).clone();
    config["tickets"]["store"] = json!(if database.is_some() { "database" } else { "memory" });
    config["limits"] = json!({
        "requestsPerSecondPerCaller": 100_000, "failuresPerSecondPerAddress": 100_000, "reviewsPerSecond": 100_000,
    });
    let file = folder.path().join("claviger.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(binary);
    command.args(["serve", "--config"]).arg(file);
    Claviger::spawn_command(folder, command)
}

/// A replica that issues tickets and redeems them itself.
fn at_one(name: &'static str, replica: &Claviger, asks: Box<First>) -> Arc<Contender> {
    contender(name, &[replica.api], &[replica.api], asks, Box::new(fetches), vec![replica.id()])
}

fn contender(
    name: &'static str,
    first: &[SocketAddr],
    second: &[SocketAddr],
    asks: Box<First>,
    then: Box<Then>,
    processes: Vec<u32>,
) -> Arc<Contender> {
    let plain = |addresses: &[SocketAddr]| addresses.iter().copied().map(Server::plain).collect();
    Arc::new(Contender {
        name,
        first_at: plain(first),
        then_at: plain(second),
        first: asks,
        then: vec![then],
        processes,
    })
}

fn asks(token: &str) -> Vec<u8> {
    request("POST", "/v1/tickets", &[("Authorization", &format!("Bearer {token}")), FORM, TEXT], ASKED)
}

fn asks_with(token: &str) -> Box<First> {
    let bytes = asks(token);
    Box::new(move |_| Some(bytes.clone()))
}

fn asks_from(pool: Pool) -> Box<First> {
    Box::new(move |_| pool.lock().unwrap().pop().map(|(token, _)| asks(&token)))
}

fn fetches(url: &[u8]) -> Option<Vec<u8>> {
    let url = std::str::from_utf8(url).ok()?.trim_end();
    let path = &url[url.find("/v1/")?..];
    Some(request("GET", path, &[], ""))
}

fn wraps(root: &str) -> Box<First> {
    let body = json!({"NPM_TOKEN": "it's the one of main", "REGISTRY": "registry.example"}).to_string();
    let bytes =
        request("POST", "/v1/sys/wrapping/wrap", &[("X-Vault-Token", root), ("X-Vault-Wrap-TTL", "120"), JSON], &body);
    Box::new(move |_| Some(bytes.clone()))
}

fn unwraps(answer: &[u8]) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let token = answer["wrap_info"]["token"].as_str()?;
    Some(request("POST", "/v1/sys/wrapping/unwrap", &[("X-Vault-Token", token), JSON], "{}"))
}

fn logs_in(pool: Pool) -> Box<First> {
    Box::new(move |_| {
        let (token, _) = pool.lock().unwrap().pop()?;
        let body = json!({"role": "builds", "jwt": token}).to_string();
        Some(request("POST", "/v1/auth/kubernetes/login", &[JSON], &body))
    })
}

/// The secret at OpenBao, and the same through Claviger.
const STORED: &str = "/v1/homelab/data/site/main";
const COMPATIBLE: &str = "/v1/claviger/data/vault-clients/main";

fn read(token: &str, path: &str) -> Vec<u8> {
    request("GET", path, &[("X-Vault-Token", token)], "")
}

fn reads(answer: &[u8], path: &str) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(read(answer["auth"]["client_token"].as_str()?, path))
}

/// The same request twice.
fn twice(name: &'static str, at: SocketAddr, request: Vec<u8>, processes: Vec<u32>) -> Arc<Contender> {
    let again = request.clone();
    contender(
        name,
        &[at],
        &[at],
        Box::new(move |_| Some(request.clone())),
        Box::new(move |_| Some(again.clone())),
        processes,
    )
}

fn reviews(pool: Pool) -> Box<First> {
    let bearer = bearer_of(User::Broker);
    Box::new(move |_| {
        let (token, _) = pool.lock().unwrap().pop()?;
        let spec = json!({"token": token, "audiences": ["claviger"]});
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}).to_string();
        let headers = [("Authorization", bearer.as_str()), JSON, ("Accept", "application/json")];
        Some(request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", &headers, &body))
    })
}

fn gets_the_pod(namespace: &'static str) -> Box<Then> {
    let bearer = bearer_of(User::Broker);
    Box::new(move |answer| {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let pod = answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"][0].as_str()?;
        Some(request("GET", &format!("/api/v1/namespaces/{namespace}/pods/{pod}"), &[("Authorization", &bearer)], ""))
    })
}

/// Gets the run that the object before names as its owner.
fn gets_the_owner(plural: &'static str) -> Box<Then> {
    let bearer = bearer_of(User::Broker);
    Box::new(move |answer| {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let owner = answer["metadata"]["ownerReferences"][0]["name"].as_str()?;
        let path = format!("/apis/tekton.dev/v1/namespaces/runs/{plural}/{owner}");
        Some(request("GET", &path, &[("Authorization", &bearer)], ""))
    })
}
