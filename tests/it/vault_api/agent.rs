//! The `OpenBao` agent: automatic logins, a token file, a template, a command; and no busy loop, whatever the
//! answers.

use super::server_with;
use crate::rig::claviger::wait_until;
use crate::rig::oidc::TestServer;
use crate::rig::vault_client::{CertificateAuthority, Client, ClientKind};
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use std::process::Child;
use std::time::Duration;
use tempfile::TempDir;

/// A running agent. Killed when dropped.
struct Agent {
    child: Child,
    folder: TempDir,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Setup {
    server: TestServer,
    authority: CertificateAuthority,
}

impl Setup {
    fn new() -> Self {
        let authority = CertificateAuthority::new();
        let server = server_with(&json!({"server": authority.server_section()}));
        Self { server, authority }
    }

    /// Starts an agent that logs in with this token; `rest` returns the rest of its configuration.
    fn agent(&self, token: &str, rest: impl FnOnce(&TempDir) -> Value) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("jwt"), token).unwrap();
        let mut config = json!({
            "vault": {"address": format!("https://{}", self.server.api), "ca_cert": self.authority.path("ca.pem")},
            "auto_auth": {
                "method": [{"type": "kubernetes", "config": {"role": "ci", "token_path": folder.path().join("jwt")}}],
                "sinks": [{"sink": {"type": "file", "config": {"path": folder.path().join("sink")}}}],
            },
        });
        config.as_object_mut().unwrap().extend(rest(&folder).as_object().unwrap().clone());
        let client = Client { kind: ClientKind::Bao, server: &self.server, authority: &self.authority };
        Agent { child: client.agent(folder.path(), &config), folder }
    }

    /// The number of API requests in this many seconds.
    fn requests_in(&self, seconds: u64) -> u64 {
        let before = self.server.sum("claviger_http_requests_total");
        std::thread::sleep(Duration::from_secs(seconds));
        self.server.sum("claviger_http_requests_total") - before
    }
}

fn template(contents: &str, folder: &TempDir) -> Value {
    json!({"template": [{"contents": contents, "destination": folder.path().join("out"), "error_on_missing_key": true}]})
}

const TOKEN: &str = r#"{{ with secret "claviger/data/site/main" }}{{ .Data.data.TOKEN }}{{ end }}"#;

#[test]
fn an_agent_logs_in_writes_its_token_and_renders_a_template() {
    let setup = Setup::new();
    let token = setup.server.issuer.token(&json!({}));
    let agent = setup.agent(&token, |folder| template(TOKEN, folder));
    let read = |name: &str| std::fs::read_to_string(agent.folder.path().join(name)).unwrap_or_default();
    wait_until("the template", || read("out") == "s3cret" && read("sink") == token);
    let requests = setup.requests_in(10);
    assert!(requests <= 5, "{requests} requests in 10 s:\n{}", read("agent.log"));
}

#[test]
fn it_runs_a_command_with_the_values() {
    let setup = Setup::new();
    let agent = setup.agent(&setup.server.issuer.token(&json!({})), |folder| {
        json!({
            "env_template": [{"TOKEN": {"contents": TOKEN, "error_on_missing_key": true}}],
            "exec": {"command": ["/bin/sh", "-c", format!("printf %s \"$TOKEN\" >{}; sleep 600", folder.path().join("out").display())]},
        })
    });
    let out = agent.folder.path().join("out");
    wait_until("the command", || std::fs::read_to_string(&out).is_ok_and(|text| text == "s3cret"));
}

/// Twenty seconds in each state: with its back-off, the agent sends less than one request per second.
#[test]
fn the_agent_makes_no_busy_loop_with_any_answer() {
    let setup = Setup::new();
    let good = setup.server.issuer.token(&json!({}));
    let short = setup.server.issuer.token(&json!({"exp": SystemClock.now().as_second() + 45}));
    let other =
        |path: &str| format!(r#"{{{{ with secret "claviger/data/{path}" }}}}{{{{ .Data.data.TOKEN }}}}{{{{ end }}}}"#);
    let missing_key = r#"{{ with secret "claviger/data/site/main" }}{{ .Data.data.ABSENT }}{{ end }}"#.to_owned();
    for (what, token, contents) in [
        ("a token about to end", short.as_str(), TOKEN.to_owned()),
        ("a token that is no good", "garbage", TOKEN.to_owned()),
        ("nothing there", good.as_str(), other("empty/main")),
        ("denied", good.as_str(), other("other/main")),
        ("a bad name", good.as_str(), other("apps/site/feature/x")),
        ("a key that is not there", good.as_str(), missing_key),
    ] {
        let agent = setup.agent(token, |folder| template(&contents, folder));
        let requests = setup.requests_in(20);
        let log = std::fs::read_to_string(agent.folder.path().join("agent.log")).unwrap();
        assert!((1..=40).contains(&requests), "{what}: {requests} requests in 20 s:\n{log}");
        let rendered = std::fs::read_to_string(agent.folder.path().join("out")).ok();
        // A token is valid until its end.
        let expected = (token == short).then_some("s3cret");
        assert!(!log.contains("s3cret") && rendered.as_deref() == expected, "{what}: {rendered:?}\n{log}");
    }
}
