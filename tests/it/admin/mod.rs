//! The API of administrators: authorisation, policies, audit log, leases and inventory.

mod audit;
mod explain;
mod hostile;
mod inventory;
mod leases;
mod openapi;
mod policies;
mod reviews;

use crate::rig::claviger::Claviger;
use crate::rig::http::Answer;
use serde_json::{Value, json};

/// A user of the API of a running Claviger, with a token.
struct ApiUser<'a> {
    claviger: &'a Claviger,
    token: String,
}

impl<'a> ApiUser<'a> {
    /// The administrator of `claviger dev`.
    fn admin(claviger: &'a Claviger) -> Self {
        Self { claviger, token: claviger.token("admin-token") }
    }

    /// The build pod of `claviger dev`.
    fn build(claviger: &'a Claviger) -> Self {
        Self { claviger, token: claviger.token("token") }
    }

    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        self.claviger.send(method, target, &headers, body)
    }

    fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    fn post(&self, target: &str, body: &Value) -> Answer {
        self.send("POST", target, &[JSON], body.to_string().as_bytes())
    }

    fn put(&self, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send("PUT", target, &[&[JSON], headers].concat(), body.to_string().as_bytes())
    }

    fn delete(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("DELETE", target, headers, b"")
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The status and the code of a problem.
fn problem(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

/// A policy for the sample caller of `claviger dev` and one repo.
fn spec(repo: &str) -> Value {
    json!({
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}],
        "repos": [repo],
        "branches": ["**"],
        "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}"}],
    })
}
