//! Measures the memory of a waiting ticket beyond its bundle: `cargo run --release --example waiting-tickets
//! [COUNT]`.
//!
//! Creates that many tickets (default: one million), each with the details of an ordinary build, and reads the
//! memory of its own process.
#![allow(clippy::unwrap_used, reason = "a measurement ends where it cannot go on")]

use claviger::config::database::Url;
use claviger::config::tickets::{TicketStorage, Tickets as Settings};
use claviger::database::Database;
use claviger::model::branch::Branch;
use claviger::model::bundle::{Bundle, Entry};
use claviger::model::caller::{Caller, Pod, Workload};
use claviger::model::policy_ref::PolicyRef;
use claviger::model::repo::Repo;
use claviger::model::request_id::RequestId;
use claviger::model::secret::SecretValue;
use claviger::model::secret_ref::{SecretRef, SecretVersion};
use claviger::model::ticket::TicketToken;
use claviger::model::ticket_binding::TicketBinding;
use claviger::sealing::keys::RootKey;
use claviger::tickets::{Ticket, Tickets};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Size of a group, as in the audit log.
const GROUP: usize = 100;

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let database = Database::open(&Url::SqliteMemory).await.unwrap();
    let life = Duration::from_mins(2);
    let settings = Settings {
        ttl: life,
        max_ttl: life,
        binding: TicketBinding::Ip,
        store: TicketStorage::Memory,
        max_live_per_pod: 64,
    };
    let tickets = Tickets::open(&settings, &database, &RootKey::new([7; 32].into())).unwrap();
    let before = resident();
    let mut sealed_bytes = 0;
    for _ in 0..count / GROUP {
        let steps: Vec<_> = (0..GROUP)
            .map(|_| {
                let token = TicketToken::random().unwrap();
                let ticket = ticket(&token);
                let sealed = tickets.sealer.seal(&bundle(), &token, &ticket).unwrap();
                sealed_bytes += sealed.size();
                tickets.store.step_to_issue(&ticket, sealed, None)
            })
            .collect();
        let steps: Vec<_> = steps.iter().collect();
        let runner = steps[0].runner();
        assert!(runner.run(&mut database.begin_lazily(), &steps).await.unwrap().into_iter().all(|done| done));
        runner.on_end(&steps, true);
    }
    let waiting = tickets.store.count_waiting().await.unwrap();
    let grown = resident() - before;
    println!("{waiting} tickets wait in {grown} bytes, {sealed_bytes} of them bundles");
    println!("{} bytes a ticket beyond its bundle", (grown - sealed_bytes) / waiting);
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn ticket(token: &TicketToken) -> Ticket {
    let secret = |path: &str| SecretRef { store: "vault".into(), path: path.into() };
    let pod = Pod { name: "site-build-x7k2p-fetch-pod".into(), uid: RequestId::random().to_string() };
    let workload = Workload { namespace: "tekton-ci".into(), service_account: "build-bot".into(), pod };
    let issued_at = Timestamp::UNIX_EPOCH;
    Ticket {
        id: token.ticket_id(),
        caller: Arc::new(Caller {
            issuer: "cluster".into(),
            subject: "system:serviceaccount:tekton-ci:build-bot".into(),
            groups: Vec::new(),
            workload: Some(workload),
            unbound_account: None,
            claims: serde_json::Map::new(),
        }),
        repo: Repo::try_from("moreira.dev").unwrap(),
        branch: Branch::try_from("feature/a-longer-name").unwrap(),
        policies: vec![PolicyRef { name: "site-builds".into(), revision: "0123456789abcdef".into() }],
        keys: ["GITHUB_TOKEN", "NPM_TOKEN", "PUBLIC_URL"].map(str::to_owned).into(),
        secrets: ["homelab/shared", "homelab/moreira.dev/main"]
            .map(|path| SecretVersion { secret: secret(path), version: Some("12".into()) })
            .into(),
        issued_at,
        expires_at: issued_at + SignedDuration::from_mins(2),
        binding: TicketBinding::Ip,
        source_ip: [10, 1, 2, 3].into(),
    }
}

fn bundle() -> Bundle {
    let entry = |value: &str| Entry { value: SecretValue::new(value.into()), named_by_policy: false, is_base64: false };
    let entries = [("GITHUB_TOKEN", "x".repeat(40)), ("NPM_TOKEN", "y".repeat(36)), ("PUBLIC_URL", "z".repeat(20))];
    let entries = entries.map(|(name, value)| (name.to_owned(), entry(&value)));
    Bundle { entries: entries.into(), stale: false, versions: "0".repeat(32) }
}
