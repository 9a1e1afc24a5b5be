//! Several replicas of Claviger on one PostgreSQL, with a common issuer and root key.

use super::claviger::{Claviger, binary, download_path, write_policies};
use super::http::Answer;
use super::oidc::{ISSUER, TokenIssuer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard};
use std::time::Duration;

/// The replicas.
pub struct Replicas {
    pub issuer: TokenIssuer,
    config: Value,
    files: Vec<(String, String)>,
    running: Vec<RwLock<Claviger>>,
    url: String,
    /// The builds of the replicas, in turns.
    binaries: Vec<PathBuf>,
}

impl Replicas {
    /// Starts `count` replicas with these secrets and policies, on the database of this URL. `extra` replaces
    /// whole sections.
    pub fn start(count: usize, url: &str, secrets: &Value, policies: &[(&str, Value)], extra: &Value) -> Self {
        let mut replicas = Self::without_replicas(url, secrets, policies, extra);
        for _ in 0..count {
            replicas.add(&binary());
        }
        replicas
    }

    /// The same without a replica.
    pub fn without_replicas(url: &str, secrets: &Value, policies: &[(&str, Value)], extra: &Value) -> Self {
        let issuer = TokenIssuer::new();
        let mut config = json!({
            "authenticators": [{"name": "ci", "oidc": {"issuer": ISSUER, "audience": "claviger",
                "jwksFile": "jwks.json", "algorithms": ["ES256"]}}],
            "administrators": {"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]},
            "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
            "database": {"url": url, "keyFile": "database.key"},
            "policies": {"directory": "policies"},
            "tickets": {"maxLivePerPod": 100_000, "bindTo": "none"},
            "audit": {"stdout": false},
        });
        for (section, value) in extra.as_object().unwrap() {
            config[section] = value.clone();
        }
        let mut files = vec![
            ("jwks.json".to_owned(), issuer.jwks().to_string()),
            ("secrets.yaml".to_owned(), secrets.to_string()),
            ("database.key".to_owned(), STANDARD.encode([7; 32])),
        ];
        for (name, spec) in policies {
            files.push((format!("policies/{name}"), spec.to_string()));
        }
        Self { issuer, config, files, running: Vec::new(), url: url.to_owned(), binaries: Vec::new() }
    }

    /// Starts one more replica, by this build.
    pub fn add(&mut self, binary: &Path) {
        self.binaries.push(binary.to_owned());
        let started = self.start_replica(self.running.len());
        self.running.push(RwLock::new(started));
    }

    fn start_replica(&self, number: usize) -> Claviger {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in &self.files {
            match name.strip_prefix("policies/") {
                Some(policy) => {
                    let spec = serde_json::from_str(text).unwrap();
                    write_policies(&folder.path().join("policies"), &[(policy, spec)]);
                }
                None => std::fs::write(folder.path().join(name), text).unwrap(),
            }
        }
        Claviger::serve_with_binary(&self.binaries[number % self.binaries.len()], folder, self.config.clone(), &[])
    }

    /// One replica, by its number.
    pub fn get(&self, number: usize) -> RwLockReadGuard<'_, Claviger> {
        self.running[number % self.running.len()].read().unwrap()
    }

    /// Kills a replica with `SIGKILL` during use, and starts another in its place.
    pub fn kill_and_replace(&self, number: usize) {
        self.get(number).signal("KILL");
        let next = self.start_replica(number);
        *self.running[number % self.running.len()].write().unwrap() = next;
    }

    /// Starts a new replica, then drains the old one, like a rolling update.
    pub fn rolling_restart(&self, number: usize) {
        let next = self.start_replica(number);
        let mut old = std::mem::replace(&mut *self.running[number % self.running.len()].write().unwrap(), next);
        old.signal("TERM");
        assert!(old.wait(Duration::from_mins(1)).success(), "{}", old.log());
    }

    /// A build's token with a new `jti`.
    pub fn token(&self) -> String {
        self.issuer.token(&json!({}))
    }

    /// An administrator's token.
    pub fn admin_token(&self) -> String {
        self.issuer.token(&json!({"role": "admin"}))
    }

    /// Requests a ticket for `site` and `main` from one replica; returns the path of its download and its ID.
    pub fn ticket(&self, number: usize) -> (String, String) {
        let answer = self.get(number).ask(&self.token(), "repo=site&branch=main");
        assert_eq!(answer.status, 201, "{answer:?}\n{}", self.get(number).log());
        (download_path(&answer), answer.json()["ticketId"].as_str().unwrap().to_owned())
    }

    /// Sends an administrator's request to one replica.
    pub fn send_as_admin(&self, number: usize, method: &str, target: &str) -> Answer {
        let bearer = format!("Bearer {}", self.admin_token());
        self.get(number).send(method, target, &[("Authorization", &bearer)], b"")
    }

    /// The audit events of all replicas, in the order of writing.
    pub fn events(&self) -> Vec<Value> {
        events_in(&self.url)
    }
}

/// The audit events in a database, in the order of writing.
pub fn events_in(url: &str) -> Vec<Value> {
    let read = async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let rows = sqlx::query_scalar::<_, String>("SELECT event FROM audit_events ORDER BY rowid");
        rows.fetch_all(&mut connection).await.unwrap()
    };
    let texts = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(read);
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The name of the database of a URL.
pub fn database_name_of(url: &str) -> String {
    url.split_once('?').map_or(url, |(url, _)| url).rsplit_once('/').unwrap().1.to_owned()
}

/// Creates a new database, for a test without a runtime.
pub fn new_database(server: &super::postgres::Postgres) -> String {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(server.database())
}
