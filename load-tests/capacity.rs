//! Memory with a hundred thousand policies and as many waiting tickets, and a thousand new pods of one repo at once.

use crate::connection::{Server, request};
use crate::contenders::{self, asks};
use crate::rig::claviger::{Claviger, manifest};
use crate::rig::installation::Plan;
use crate::tokens::{Mint, Pool};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const POLICIES: usize = 100_000;
const POLICIES_OF_A_FILE: usize = 100;
const TICKETS: usize = 100_000;
const PODS: usize = 1000;
const CONNECTIONS: usize = 64;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures, and returns a table for docs/PERFORMANCE.md.
pub async fn capacity() -> String {
    let mut plan = contenders::plan().await;
    plan.config["tickets"] = json!({"store": "memory", "maxLivePerPod": TICKETS});
    plan.config["policies"]["directory"] = json!(plan.folder.path().join("policies"));
    let known = plan.kube.pod("ci/build-bot").await.token;

    let few = replica(&plan);
    let with_few = settled(&few).await;
    drop(few);
    write_policies(&plan.folder.path().join("policies"));
    let many = replica(&plan);
    let with_many = settled(&many).await;
    let bundle = issue(&many, &known, TICKETS).await;
    let with_tickets = settled(&many).await;
    drop(many);

    let (of_pods, reads) = pods_at_once(&plan).await;
    let of_store = read_directly(&plan).await;

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let each = |more: f64, count: usize| more * MIB / count as f64;
    format!(
        "| what | measured |\n|---|--:|\n\
         | resident memory with the policies of the load test, MiB | {with_few:.0} |\n\
         | with {POLICIES} policies more, MiB | {with_many:.0} |\n\
         | memory of a policy, bytes | {:.0} |\n\
         | with {TICKETS} waiting tickets more (bundles of {bundle} bytes), MiB | {with_tickets:.0} |\n\
         | memory of a ticket, bytes | {:.0} |\n\
         | reads of the store for {PODS} new tokens of one repo at once | {reads} |\n\
         | p99 of these requests, ms | {of_pods:.1} |\n\
         | p99 of {PODS} reads of the store itself over as many connections, ms | {of_store:.1} |\n",
        each(with_many - with_few, POLICIES),
        each(with_tickets - with_many, TICKETS),
    )
}

fn replica(plan: &Plan) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(plan.folder.path().join("vault-token"), folder.path().join("vault-token")).unwrap();
    Claviger::serve_in(folder, plan.config.clone())
}

/// Resident memory in MiB, after the garbage of the last work was given back.
async fn settled(claviger: &Claviger) -> f64 {
    tokio::time::sleep(Duration::from_secs(5)).await;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let bytes = claviger.resident() as f64;
    bytes / MIB
}

/// Policies of as many teams, each with a namespace and a repo of its own.
fn write_policies(folder: &Path) {
    for first in (0..POLICIES).step_by(POLICIES_OF_A_FILE) {
        let mut text = String::new();
        for number in first..first + POLICIES_OF_A_FILE {
            let spec = json!({
                "subjects": [{"kubernetes": {"namespaces": [format!("team-{number}")], "serviceAccounts": ["build-bot"]}}],
                "repos": [format!("repo-{number}")], "branches": ["main", "release/**"],
                "secrets": [{"store": "vault", "path": format!("homelab/team-{number}/{{branch}}")}],
            });
            writeln!(text, "---\n{}", manifest(&format!("team-{number}"), &spec)).unwrap();
        }
        fs::write(folder.join(format!("teams-{first:06}.yaml")), text).unwrap();
    }
}

/// Issues tickets and leaves them; returns the size of a bundle.
async fn issue(claviger: &Claviger, token: &str, count: usize) -> usize {
    let ask = Arc::new(asks(token));
    let workers = (0..CONNECTIONS).map(|worker| {
        let (server, ask) = (Server::plain(claviger.api), ask.clone());
        tokio::spawn(async move {
            let mut connection = server.connect().await;
            for _ in (worker..count).step_by(CONNECTIONS) {
                assert_eq!(connection.exchange(&ask).await.unwrap().status, 201);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let mut connection = Server::plain(claviger.api).connect().await;
    let url = String::from_utf8(connection.exchange(&ask).await.unwrap().body.to_vec()).unwrap();
    let path = &url.trim_end()[url.find("/v1/").unwrap()..];
    connection.exchange(&request("GET", path, &[], "")).await.unwrap().body.len()
}

/// The p99 of requests with new tokens, all sent at once, in milliseconds; and the reads of the store.
async fn pods_at_once(plan: &Plan) -> (f64, u64) {
    let pool = Pool::default();
    Arc::new(Mint::new(&plan.kube).await).fill(&pool, "claviger", PODS).await;
    let claviger = replica(plan);
    let before = claviger.sum("claviger_store_requests_total");
    let asked: Vec<Vec<u8>> = pool.lock().unwrap().drain(..).map(|(token, _)| asks(&token)).collect();
    let p99 = at_once(Server::plain(claviger.api), asked, 201).await;
    (p99, claviger.sum("claviger_store_requests_total") - before)
}

/// The p99 of reading the two secrets of the repo from the store itself, in milliseconds.
async fn read_directly(plan: &Plan) -> f64 {
    let address = plan.bao.address.split_once("://").unwrap().1.parse().unwrap();
    let read = request("GET", contenders::STORED, &[("X-Vault-Token", &plan.bao.root)], "");
    at_once(Server::plain(address), vec![read; PODS], 200).await
}

/// Sends each request on a connection of its own, all at once.
async fn at_once(server: Server, requests: Vec<Vec<u8>>, status: u16) -> f64 {
    let mut connections = Vec::new();
    for request in requests {
        connections.push((server.connect().await, request));
    }
    let sent = connections.into_iter().map(|(mut connection, request)| {
        tokio::spawn(async move {
            let started = Instant::now();
            let reply = connection.exchange(&request).await.unwrap();
            assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(reply.body));
            started.elapsed().as_secs_f64() * 1000.0
        })
    });
    let mut took = Vec::new();
    for one in sent.collect::<Vec<_>>() {
        took.push(one.await.unwrap());
    }
    took.sort_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}
