//! Policies in a database: one contract for every adapter, and several replicas.

mod contract;
mod mounted;
mod replicas;
mod resources;
mod served;
mod start;

use crate::rig::postgres::{parse_postgres_url, postgres};
use claviger::config::database::Url;
use claviger::database::Database;
use claviger::document::Fault;
use claviger::model::clock::SystemClock;
use claviger::policy::{AuthenticatorKind, Bounds, Ceiling, Directory, NewPolicy, Policy, PolicyRegister, Tenants};
use claviger::wire::policy::PolicySpec;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A database of policies.
#[derive(Debug)]
struct TestDatabase {
    url: Url,
    _folder: Option<TempDir>,
}

impl TestDatabase {
    fn sqlite_memory() -> Self {
        Self { url: Url::SqliteMemory, _folder: None }
    }

    fn sqlite_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: Url::SqliteFile(folder.path().join("claviger.db")), _folder: Some(folder) }
    }

    async fn postgres() -> Self {
        Self { url: Url::Postgres(parse_postgres_url(&postgres().database().await)), _folder: None }
    }

    async fn database(&self) -> Database {
        Database::open(&self.url).await.unwrap()
    }

    async fn register(&self) -> PolicyRegister {
        open(self.database().await, None).await.unwrap()
    }
}

async fn open(database: Database, directory: Option<Directory>) -> Result<PolicyRegister, impl std::fmt::Debug> {
    PolicyRegister::open(directory, database, Arc::new(SystemClock), bounds(), Box::new(())).await
}

fn bounds() -> Bounds {
    Bounds {
        stores: ["vault".into()].into(),
        authenticators: [("cluster".into(), AuthenticatorKind::Kubernetes), ("github".into(), AuthenticatorKind::Oidc)]
            .into(),
        max_ttl: Duration::from_mins(15),
        ceiling: Ceiling::default(),
        tenants: Tenants::default(),
    }
}

fn spec_of(repo: &str) -> Value {
    json!({
        "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
        "repos": [repo],
        "branches": ["main"],
        "secrets": [{"store": "vault", "path": "homelab/shared"}],
    })
}

fn deny(repo: &str) -> Value {
    let mut spec = spec_of(repo);
    spec.as_object_mut().unwrap().remove("secrets");
    spec["effect"] = "deny".into();
    spec
}

fn policy(name: &str, repo: &str) -> NewPolicy {
    new_policy(name, spec_of(repo))
}

fn new_policy(name: &str, spec: Value) -> NewPolicy {
    compiled(name, spec, &bounds()).unwrap()
}

/// A policy is compiled before it can be written.
fn compiled(name: &str, spec: Value, bounds: &Bounds) -> Result<NewPolicy, Vec<Fault>> {
    let policy = Policy::compile(name, &serde_json::from_value(spec).unwrap(), bounds)?;
    Ok(NewPolicy { policy: Arc::new(policy), written_by: "alice".into() })
}

fn spec_as_json(spec: &PolicySpec) -> Value {
    serde_json::to_value(spec).unwrap()
}

/// The directory with these policies, a file each.
fn directory(folder: &Path, policies: &[(&str, Value)]) -> Directory {
    crate::rig::claviger::write_policies(folder, policies);
    Directory::open(folder, bounds()).unwrap()
}

/// The names of the active policies.
fn active_policies(register: &PolicyRegister) -> Vec<String> {
    register.active_set().load().names().map(str::to_owned).collect()
}

/// The names that the API lists.
async fn listed_policies(register: &PolicyRegister) -> Vec<String> {
    register.list(None, 1000).await.unwrap().into_iter().map(|policy| policy.name).collect()
}

/// Polls until the condition is true; returns how long that took.
async fn wait_within(within: Duration, condition: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < within, "the condition was not met within {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}
