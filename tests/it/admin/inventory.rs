//! The inventory of used and unused secrets and their callers. It outlives retention and restarts.

use crate::rig::claviger::{run, wait_until};
use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use crate::rig::postgres::postgres;
use crate::rig::replicas::{Replicas, new_database};
use serde_json::{Value, json};

fn secrets() -> Value {
    json!({
        "homelab/site/main": {"TOKEN": "s3cret"}, "homelab/shop/main": {"TOKEN": "s3cret"}, "homelab/site/default": {"A": "b"},
    })
}

fn policies() -> Vec<(&'static str, Value)> {
    let deny = json!({
        "effect": "deny", "subjects": [{"oidc": {"issuer": "ci", "claims": {"role": "build"}}}],
        "repos": ["**"], "branches": ["renovate/**"],
    });
    vec![
        ("bots", deny),
        ("idle", allow(&["homelab/{repo}/idle"], &json!({"repos": ["nothing"]}))),
        ("site", allow(&["homelab/{repo}/default", "homelab/{repo}/{branch}"], &json!({}))),
        ("soon", allow(&["homelab/{repo}/default"], &json!({"mode": "audit"}))),
    ]
}

fn admins() -> Value {
    json!({"administrators": {"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]}})
}

fn get(server: &TestServer, target: &str) -> Answer {
    let bearer = format!("Bearer {}", server.issuer.token(&json!({"role": "admin"})));
    server.claviger.send("GET", target, &[("Authorization", &bearer)], b"")
}

/// Policy, path, whether it was matched and read, callers, repos, and whether it is unused.
fn shown(answer: &Answer) -> Vec<(String, String, bool, bool, u64, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let item = |item: &Value| {
        let repos: Vec<String> = item["repos"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(item["reposTotal"], repos.len());
        (
            text(&item["policy"]),
            text(&item["path"]),
            item["lastMatched"].is_string(),
            item["lastRead"].is_string(),
            item["callers"].as_u64().unwrap(),
            repos.join(","),
            item["unused"].as_bool().unwrap(),
        )
    };
    answer.json()["items"].as_array().unwrap().iter().map(item).collect()
}

fn row(
    policy: &str,
    path: &str,
    (matched, read): (bool, bool),
    callers: u64,
    repos: &str,
    unused: bool,
) -> (String, String, bool, bool, u64, String, bool) {
    (policy.into(), path.into(), matched, read, callers, repos.into(), unused)
}

/// Requests by two callers for two repos, and for a branch that is denied.
fn send_requests(ask: impl Fn(&str, &str) -> Answer) {
    assert_eq!(ask("build-1", "repo=site&branch=main").status, 201);
    assert_eq!(ask("build-2", "repo=site&branch=main").status, 201);
    assert_eq!(ask("build-2", "repo=shop&branch=main").status, 201);
    assert_eq!(ask("build-2", "repo=shop&branch=renovate/x").status, 403);
}

fn expected() -> Vec<(String, String, bool, bool, u64, String, bool)> {
    vec![
        row("idle", "homelab/{repo}/idle", (false, false), 0, "", true),
        row("soon", "homelab/{repo}/default", (true, false), 0, "", false),
        row("site", "homelab/{repo}/default", (true, true), 2, "site", false),
        row("site", "homelab/{repo}/{branch}", (true, true), 2, "shop,site", false),
        row("bots", "-", (true, false), 1, "shop", false),
    ]
}

#[test]
fn unused_secrets_are_listed_first_and_used_ones_with_their_callers() {
    let mut server = TestServer::start(&secrets(), &policies(), &admins(), &[]);
    send_requests(|subject, form| {
        let token = server.issuer.token(&json!({"sub": subject}));
        server.claviger.ask(&token, form)
    });
    let answer = get(&server, "/v1/inventory");
    assert_eq!((answer.status, &answer.json()["complete"]), (200, &json!(true)), "{answer:?}");
    assert_eq!(shown(&answer), expected());
    // With `since` tomorrow, nothing was used.
    let later = get(&server, "/v1/inventory?since=2999-01-01T00:00:00Z");
    assert!(shown(&later).iter().all(|item| item.6 && item.4 == 0 && item.5.is_empty()), "{later:?}");
    assert_eq!(shown(&later).len(), 5);

    // In pages of two.
    let mut paged = Vec::new();
    let mut target = "/v1/inventory?limit=2".to_owned();
    for _ in 0..3 {
        let page = get(&server, &target);
        paged.extend(shown(&page));
        let Some(next) = page.json()["continue"].as_str().map(str::to_owned) else { break };
        target = format!("/v1/inventory?limit=2&continue={next}");
    }
    assert_eq!(paged, expected());

    // The command.
    let token = server.claviger.folder.path().join("admin");
    std::fs::write(&token, server.issuer.token(&json!({"role": "admin"}))).unwrap();
    let server_section = format!("http://{}", server.claviger.api);
    let command = |more: &[&str]| {
        let fixed = ["inventory", "--server", &server_section, "--token-file", token.to_str().unwrap()];
        let (code, stdout, stderr) = run(&[&fixed[..], more].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        stdout
    };
    let table = command(&[]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("POLICY"), "{table}");
    assert!(lines[1].starts_with("idle") && lines[1].contains("never") && lines[1].ends_with("unused"), "{table}");
    assert!(lines[6].starts_with("1 of 5 not used since "), "{table}");
    let json: Value = serde_json::from_str(&command(&["--since", "1h", "--unused", "--output", "json"])).unwrap();
    assert_eq!(json["items"].as_array().unwrap().len(), 1, "{json}");

    // A killed process, and a log whose events were deleted.
    server.kill_and_restart();
    server.claviger.write("DELETE FROM audit_events WHERE rowid < (SELECT max(rowid) FROM audit_events)");
    assert_eq!(shown(&get(&server, "/v1/inventory")), expected());
}

#[test]
fn the_inventory_requires_permission_to_list_the_audit_log() {
    let server = TestServer::start(&secrets(), &policies(), &admins(), &[]);
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let answer = server.claviger.send("GET", "/v1/inventory", &[("Authorization", &bearer)], b"");
    assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
    assert_eq!(server.claviger.send("GET", "/v1/inventory", &[], b"").status, 401);
    assert_eq!(get(&server, "/v1/inventory").status, 200);
    assert_eq!(get(&server, "/v1/inventory?since=30d").code(), "invalid_request");
    // The background task counts it without a request.
    server.asks("repo=site&branch=main");
    let used = || server.claviger.count("claviger_inventory_secrets{state=\"unused\"}");
    wait_until("the gauges", || used() > 0);
}

#[test]
fn replicas_count_uses_in_one_database() {
    let replicas = Replicas::start(2, &new_database(postgres()), &secrets(), &policies(), &json!({}));
    let asks = std::cell::Cell::new(0);
    send_requests(|subject, form| {
        asks.set(asks.get() + 1);
        replicas.get(asks.get()).ask(&replicas.issuer.token(&json!({"sub": subject})), form)
    });
    for replica in 0..2 {
        assert_eq!(shown(&replicas.send_as_admin(replica, "GET", "/v1/inventory")), expected(), "{replica}");
    }
}
