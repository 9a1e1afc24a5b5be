//! The Vault-compatible API: the contract by raw HTTP, and by Vault's own clients.

mod agent;
mod clients;
mod contract;
mod java_clients;
mod limits;
mod names;
mod recorded;
mod refused;
mod stored;
mod vaultrs_client;

use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};

/// The path of the bundle that [`server`] provides.
const SITE: &str = "/v1/claviger/data/site/main";

/// A server with secrets for `site`, none for `empty`, only tickets for `tickets`, and no policy for other repos.
fn server_with(config: &Value) -> TestServer {
    let direct =
        |paths: &[&str], repos: &[&str]| allow(paths, &json!({"repos": repos, "delivery": ["direct", "ticket"]}));
    let policies = [
        ("site", direct(&["homelab/{repo}/{branch}"], &["site", "apps/site", "a~b", "a b"])),
        ("empty", direct(&["homelab/none"], &["empty"])),
        ("tickets", allow(&["homelab/site/main"], &json!({"repos": ["tickets"]}))),
        ("required", {
            let mut spec = direct(&["homelab/none"], &["required"]);
            spec["secrets"][0]["required"] = json!(true);
            spec
        }),
    ];
    let secrets = json!({
        "homelab/site/main": {"TOKEN": "s3cret", "NUMBER": 12, "TRUE": true, "LINES": "a\nb\n", "QUOTE": "\"\\$`\u{202e}é"},
        "homelab/apps~site/feature~x=402": {"TOKEN": "odd"},
        "homelab/a=7Eb/main": {"TOKEN": "tilde"},
        "homelab/a=20b/100=25": {"TOKEN": "percent"},
    });
    TestServer::start(&secrets, &policies, config, &[])
}

fn server() -> TestServer {
    server_with(&json!({}))
}

trait VaultClient {
    /// Sends a request with `X-Vault-Token`.
    fn vault_send(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Answer;

    /// Reads with a token of the permitted build.
    fn vault_read(&self, path: &str) -> Answer;

    /// Logs in with this body.
    fn vault_log_in(&self, body: &Value) -> Answer;
}

impl VaultClient for TestServer {
    fn vault_send(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Answer {
        self.send(method, path, &[("X-Vault-Token", token)], body)
    }

    fn vault_read(&self, path: &str) -> Answer {
        self.vault_send("GET", path, &self.issuer.token(&json!({})), b"")
    }

    fn vault_log_in(&self, body: &Value) -> Answer {
        self.send("POST", "/v1/auth/kubernetes/login", &[], body.to_string().as_bytes())
    }
}

/// Checks an error in Vault's format: this status, only `errors`, and a text that begins with this; none for 404.
#[track_caller]
pub fn assert_errors(answer: &Answer, status: u16, begins: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "{answer:?}");
    assert!(answer.header("x-request-id").is_some() && answer.header("www-authenticate").is_none(), "{answer:?}");
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["errors"], "{answer:?}");
    let texts: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    if status == 404 {
        assert!(texts.is_empty(), "{answer:?}");
    } else {
        assert!(texts.len() == 1 && texts[0].starts_with(begins), "{answer:?} does not begin {begins:?}");
    }
    assert_eq!(answer.header("retry-after").is_some(), matches!(status, 429 | 503), "{answer:?}");
    assert_eq!(answer.headers[0].0, "content-length", "{answer:?}");
}
