//! Who is measured: Claviger in its ways, and what a user would run otherwise.

use crate::bare::Bare;
use crate::connection::{Server, request};
use crate::load::{Contender, First, Second};
use crate::rig::bao::Bao;
use crate::rig::claviger::Claviger;
use crate::rig::installation::Plan;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::{User, control_plane};
use crate::rig::postgres::postgres;
use crate::tokens::{Mint, Pool, api_server, bearer_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const TEXT: (&str, &str) = ("Accept", "text/plain");
const ASKED: &str = "repo=site&branch=main";

/// The names in the results.
pub const BARE: &str = "bare axum";
pub const MEMORY: &str = "claviger, tickets in memory";
pub const FORGETFUL: &str = "claviger, audit in memory";
pub const SQLITE: &str = "claviger, tickets in SQLite";
pub const POSTGRES: &str = "claviger x 3 on PostgreSQL";
pub const NEVER_SEEN: &str = "claviger, never-seen tokens";
pub const REVIEWS: &str = "TokenReview + GET Pod";
pub const WRAP: &str = "OpenBao wrap + unwrap";
pub const LOGIN: &str = "OpenBao login + read";

/// Everything that runs, and the contenders.
pub struct Field {
    pub contenders: Vec<Arc<Contender>>,
    /// The replica whose store reads are counted.
    pub counted: usize,
    pub replicas: Vec<Claviger>,
    /// What is used up by a run: the contender's name, its pool, and the audience of its tokens.
    pub pools: Vec<(&'static str, Pool, &'static str)>,
    pub mint: Arc<Mint>,
    _bare: Bare,
    _bao: Bao,
    _kube: Kube,
}

/// Starts all of it.
pub async fn line_up() -> Field {
    let mut plan = Plan::new().await;
    plan.bao.put("homelab/shared", &[("REGISTRY", "registry.example"), ("NPM_TOKEN", "shared-npm-token")]).await;
    plan.bao.put("homelab/site/main", &[("NPM_TOKEN", "it's the one of main")]).await;
    plan.bao.kubernetes_role("builds", ["ci", "build-bot"], &["claviger"]).await;
    plan.config["audit"] = json!({"stdout": false});
    let key = plan.folder.path().join("database-key");
    std::fs::write(&key, STANDARD.encode([7; 32])).unwrap();
    let database = postgres().database().await;

    let replicas: Vec<Claviger> = [
        (json!({}), "memory"),
        (json!({}), "database"),
        (json!({}), "memory"),
        (json!({"url": "sqlite::memory:"}), "memory"),
        (json!({"url": database, "keyFile": key}), "database"),
        (json!({"url": database, "keyFile": key}), "database"),
        (json!({"url": database, "keyFile": key}), "database"),
    ]
    .into_iter()
    .map(|(database, tickets)| replica(&plan, &database, tickets))
    .collect();
    let bare = Bare::start();
    let mint = Arc::new(Mint::new(&plan.kube).await);
    let known = plan.kube.pod("ci/build-bot").await.token;
    let [never_seen, reviewed, logged_in] = [(); 3].map(|()| Pool::default());

    let api = |replica: &Claviger| replica.api;
    let ([memory, sqlite, unseen, forgetful], sharing) = replicas.split_first_chunk().unwrap();
    let ours: Vec<SocketAddr> = sharing.iter().map(api).collect();
    // Each connection redeems at another replica than it asks.
    let next: Vec<SocketAddr> = (0..ours.len()).map(|at| ours[(at + 1) % ours.len()]).collect();
    let bao: SocketAddr = plan.bao.address.split_once("://").unwrap().1.parse().unwrap();
    let planes: Vec<u32> = control_plane().processes().into();
    let with = |extra: &[u32]| [&planes, extra].concat();
    let contenders = vec![
        contender(BARE, &[bare.address], &[bare.address], asks_with(&known), Box::new(fetches), vec![bare.id()]),
        contender(MEMORY, &[memory.api], &[memory.api], asks_with(&known), Box::new(fetches), vec![memory.id()]),
        contender(
            FORGETFUL,
            &[forgetful.api],
            &[forgetful.api],
            asks_with(&known),
            Box::new(fetches),
            vec![forgetful.id()],
        ),
        contender(SQLITE, &[sqlite.api], &[sqlite.api], asks_with(&known), Box::new(fetches), vec![sqlite.id()]),
        contender(
            POSTGRES,
            &ours,
            &next,
            asks_with(&known),
            Box::new(fetches),
            sharing.iter().map(Claviger::id).collect(),
        ),
        contender(WRAP, &[bao], &[bao], wraps(&plan.bao.root), Box::new(unwraps), vec![plan.bao.id()]),
        contender(LOGIN, &[bao], &[bao], logs_in(logged_in.clone()), Box::new(reads), with(&[plan.bao.id()])),
        contender(
            NEVER_SEEN,
            &[unseen.api],
            &[unseen.api],
            asks_from(never_seen.clone()),
            Box::new(fetches),
            vec![unseen.id()],
        ),
        Arc::new(Contender {
            name: REVIEWS,
            first_at: vec![api_server()],
            second_at: vec![api_server()],
            first: reviews(reviewed.clone()),
            second: gets_the_pod(),
            processes: planes.clone(),
        }),
    ];
    let pools =
        vec![(NEVER_SEEN, never_seen, "claviger"), (REVIEWS, reviewed, "claviger"), (LOGIN, logged_in, "openbao")];
    let Plan { kube, bao, .. } = plan;
    Field { contenders, counted: 0, replicas, pools, mint, _bare: bare, _bao: bao, _kube: kube }
}

fn replica(plan: &Plan, database: &Value, tickets: &str) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vault-token", "database-key"] {
        std::fs::copy(plan.folder.path().join(file), folder.path().join(file)).unwrap();
    }
    let mut config = plan.config.clone();
    config["policies"]["directory"] = json!(plan.folder.path().join("policies"));
    config["database"] = database.clone();
    config["tickets"]["store"] = json!(tickets);
    Claviger::serve_in(folder, config)
}

fn contender(
    name: &'static str,
    first: &[SocketAddr],
    second: &[SocketAddr],
    asks: Box<First>,
    then: Box<Second>,
    processes: Vec<u32>,
) -> Arc<Contender> {
    let plain = |addresses: &[SocketAddr]| addresses.iter().copied().map(Server::plain).collect();
    Arc::new(Contender { name, first_at: plain(first), second_at: plain(second), first: asks, second: then, processes })
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

fn reads(answer: &[u8]) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let token = answer["auth"]["client_token"].as_str()?;
    Some(request("GET", "/v1/homelab/data/site/main", &[("X-Vault-Token", token)], ""))
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

fn gets_the_pod() -> Box<Second> {
    let bearer = bearer_of(User::Broker);
    Box::new(move |answer| {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let pod = answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"][0].as_str()?;
        Some(request("GET", &format!("/api/v1/namespaces/ci/pods/{pod}"), &[("Authorization", &bearer)], ""))
    })
}
