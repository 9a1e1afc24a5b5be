//! `POST /v1/tickets`: the form of a ticket, and options that narrow it.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::oidc::{TestServer, allow};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

#[test]
fn a_ticket_is_answered_as_json_or_as_a_bare_url() {
    let server = TestServer::with_one_secret();
    let answer = server.asks("repo=site&branch=main");
    assert_eq!(answer.status, 201);
    for (name, value) in [("content-type", "application/json"), ("cache-control", "no-store")] {
        assert_eq!(answer.header(name).as_deref(), Some(value), "{answer:?}");
    }
    assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
    let body = answer.json();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["expiresAt", "keys", "missing", "policies", "ticketId", "url"]);
    assert_eq!(body["url"].as_str(), answer.header("location").as_deref());
    let start = format!("http://{}/v1/downloads/", server.api);
    let token = body["url"].as_str().unwrap().strip_prefix(start.as_str()).unwrap();
    let (id, key) = token.split_once('.').unwrap();
    assert_eq!((id.len(), key.len()), (22, 43));
    assert_eq!(
        (&body["keys"], &body["policies"], &body["missing"]),
        (&json!(["TOKEN", "URL"]), &json!(["site"]), &json!(0))
    );
    let ticket_id = body["ticketId"].as_str().unwrap();
    assert!(!token.contains(ticket_id), "the download path contains the public id");
    assert_problem(&server.download(&format!("/v1/downloads/{ticket_id}.{key}")), 404, "ticket_unknown");

    let expires_at = body["expiresAt"].as_str().unwrap();
    assert!(expires_at.ends_with('Z'), "{expires_at}");
    assert!((110..=121).contains(&seconds_left(&body)), "{expires_at}");

    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for accept in ["text/plain", "text/plain;charset=utf-8", "Text/Plain, application/json"] {
        let headers = [("Authorization", bearer.as_str()), form, ("Accept", accept)];
        let answer = server.send("POST", "/v1/tickets", &headers, b"repo=site&branch=main");
        assert_eq!(answer.text(), format!("{}\n", answer.header("location").unwrap()), "{accept}");
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{accept}");
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    }
    for accept in ["*/*", "application/json", "text/html", "text/plainest", "", "application/json, text/plain"] {
        let headers = [("Authorization", bearer.as_str()), form, ("Accept", accept)];
        let answer = server.send("POST", "/v1/tickets", &headers, b"repo=site&branch=main");
        assert_eq!(answer.header("content-type").as_deref(), Some("application/json"), "{accept}");
    }
}

fn seconds_left(body: &Value) -> i64 {
    let expires_at: Timestamp = body["expiresAt"].as_str().unwrap().parse().unwrap();
    let issued: Timestamp = now();
    (expires_at.duration_since(issued) + SignedDuration::from_millis(500)).as_secs()
}

fn now() -> Timestamp {
    use claviger::model::clock::{Clock as _, SystemClock};
    SystemClock.now()
}

#[test]
fn forms_and_json_say_the_same() {
    let secrets = json!({"homelab/site/feature~x=2By": {"A": "1", "B": "2"}});
    let server =
        TestServer::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    let form = server.asks("repo=site&branch=feature%2Fx%2By&ttl=60s&keys=A,C&required=true");
    let json =
        server.asks_json(r#"{"repo":"site","branch":"feature/x+y","ttl":"60s","keys":["A","C"],"required":true}"#);
    for answer in [form, json] {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["keys"], json!(["A"]));
        assert!((55..=61).contains(&seconds_left(&answer.json())));
        assert_eq!(server.download(&download_path(&answer)).text(), "export A='1'\n# claviger: 1 keys\n");
    }
}

#[test]
fn a_ttl_only_shortens() {
    let policies = [
        ("short", allow(&["homelab/x"], &json!({"repos": ["short"], "ticket": {"ttl": "30s"}}))),
        ("usual", allow(&["homelab/x"], &json!({"repos": ["usual"]}))),
    ];
    let server = TestServer::start(&json!({}), &policies, &json!({"tickets": {"ttl": "2m", "maxTtl": "5m"}}), &[]);
    for (repo, ttl, expected) in [
        ("usual", "", 120),
        ("usual", "&ttl=1s", 1),
        ("usual", "&ttl=1000ms", 1),
        ("usual", "&ttl=1m30s", 90),
        ("usual", "&ttl=5m", 120),
        ("short", "", 30),
        ("short", "&ttl=60s", 30),
        ("short", "&ttl=10s", 10),
    ] {
        let answer = server.asks(&format!("repo={repo}&branch=main{ttl}"));
        let left = seconds_left(&answer.json());
        assert!((expected - 5..=expected + 1).contains(&left), "{repo} {ttl}: {left}");
    }
    for ttl in [
        "301s",
        "6m",
        "999ms",
        "0s",
        "0",
        "-1s",
        "1.5m",
        "90",
        "",
        "%201s",
        "1s%20",
        "1d",
        "1e400s",
        "2M",
        "99999999999999999999h",
    ] {
        assert_problem(&server.asks(&format!("repo=usual&branch=main&ttl={ttl}")), 400, "invalid_request");
    }
}

#[test]
fn missing_secrets_give_an_empty_file_unless_one_is_required() {
    let policies = [
        ("optional", allow(&["homelab/none/a", "homelab/none/b"], &json!({"repos": ["optional"]}))),
        (
            "required",
            allow(
                &[],
                &json!({"repos": ["required"],
                "secrets": [{"store": "local", "path": "homelab/none/{repo}", "required": true}]}),
            ),
        ),
        (
            "key",
            allow(
                &[],
                &json!({"repos": ["key", "nokey"],
                "secrets": [{"store": "local", "path": "homelab/{repo}", "required": true, "keys": ["K"]}]}),
            ),
        ),
    ];
    let secrets = json!({"homelab/key": {"K": "v"}, "homelab/nokey": {"L": "v"}});
    let server = TestServer::start(&secrets, &policies, &json!({}), &[]);
    let answer = server.asks("repo=optional&branch=main");
    assert_eq!((answer.status, &answer.json()["keys"], &answer.json()["missing"]), (201, &json!([]), &json!(2)));
    let path = download_path(&answer);
    let empty = server.download(&path);
    assert_eq!((empty.status, empty.text().as_str(), empty.header("content-length").as_deref()), (200, "", Some("0")));
    assert_problem(&server.download(&path), 410, "ticket_redeemed");
    let path = server.download_path_for("repo=optional&branch=main&required=false");
    assert_eq!(server.download(&format!("{path}?format=json")).text().trim_end(), "{}");
    let path = server.download_path_for("repo=optional&branch=main");
    assert_eq!(server.download(&format!("{path}?format=dotenv")).body, b"");

    assert_problem(&server.asks("repo=optional&branch=main&required=true"), 404, "secret_not_found");
    assert_problem(&server.asks("repo=required&branch=main"), 404, "secret_not_found");
    assert_eq!(server.asks("repo=key&branch=main&required=true").status, 201);
    assert_problem(&server.asks("repo=key&branch=main&required=true&keys=X"), 404, "secret_not_found");
    assert_problem(&server.asks("repo=nokey&branch=main"), 502, "key_absent");
    // Only an authorised caller learns that there is no secret.
    let denied = server.ask(&server.issuer.token(&json!({"role": "other"})), "repo=required&branch=main");
    assert_problem(&denied, 403, "denied");
}

#[test]
fn a_denial_is_one_answer_whatever_the_reason() {
    let policies = [
        ("site", allow(&["homelab/{repo}"], &json!({"repos": ["site", "banned"], "branches": ["main", "release/*"]}))),
        ("ban", allow(&[], &json!({"effect": "deny", "secrets": null, "repos": ["banned"]}))),
    ];
    let server = TestServer::start(&json!({"homelab/site": {"A": "1"}}), &policies, &json!({}), &[]);
    let other = server.issuer.token(&json!({"role": "other"}));
    let mut bodies = Vec::new();
    for answer in [
        server.ask(&other, "repo=site&branch=main"),
        server.ask(&server.issuer.token(&json!({"role": null})), "repo=site&branch=main"),
        server.asks("repo=other&branch=main"),
        server.asks("repo=Site&branch=main"),
        server.asks("repo=site&branch=dev"),
        server.asks("repo=site&branch=MAIN"),
        server.asks("repo=site&branch=release/1/2"),
        server.asks("repo=banned&branch=main"),
    ] {
        assert_problem(&answer, 403, "denied");
        bodies.push(answer.text());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    for form in ["repo=site&branch=main", "repo=site&branch=release/1"] {
        assert_eq!(server.asks(form).status, 201, "{form}");
    }
    let reasons: Vec<Value> = server
        .audit_events()
        .iter()
        .filter(|event| event["type"] == "ticket.denied")
        .map(|event| event["reason"].clone())
        .collect();
    assert_eq!(reasons.len(), 8, "each reason is in the audit log");
    assert!(reasons.iter().any(|reason| *reason != reasons[0]), "{reasons:?}");
}

#[test]
fn delivery_must_list_tickets() {
    let policies = [
        ("both", allow(&["homelab/x"], &json!({"repos": ["both"], "delivery": ["direct", "ticket"]}))),
        ("direct", allow(&["homelab/x"], &json!({"repos": ["direct"], "delivery": ["direct"]}))),
        ("mixed", allow(&["homelab/x"], &json!({"repos": ["direct"]}))),
    ];
    let server = TestServer::start(&json!({}), &policies, &json!({}), &[]);
    assert_eq!(server.asks("repo=both&branch=main").status, 201);
    assert_problem(&server.asks("repo=direct&branch=main"), 403, "delivery_not_allowed");
    assert_problem(&server.asks("repo=elsewhere&branch=main"), 403, "denied");
}

#[test]
fn keys_narrow_by_final_names() {
    let policies = [(
        "p",
        allow(
            &[],
            &json!({"secrets": [{"store": "local", "path": "homelab/x", "keys": ["a", "b"], "rename": {"a": "A"}, "prefix": "P_"}]}),
        ),
    )];
    let server = TestServer::start(&json!({"homelab/x": {"a": "1", "b": "2", "c": "3"}}), &policies, &json!({}), &[]);
    for (keys, expected) in [
        ("", json!(["P_A", "P_b"])),
        ("&keys=P_A", json!(["P_A"])),
        ("&keys=P_A,P_b,a,c", json!(["P_A", "P_b"])),
        ("&keys=a", json!([])),
        ("&keys=P_*", json!([])),
        ("&keys=", json!([])),
    ] {
        let answer = server.asks(&format!("repo=r&branch=main{keys}"));
        assert_eq!((answer.status, &answer.json()["keys"]), (201, &expected), "{keys}");
    }
}

#[test]
fn value_sizes_are_returned_if_the_client_prefers_them() {
    let server = TestServer::with_one_secret();
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let asked = |prefer: &[(&str, &str)]| {
        let usual = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        server.send("POST", "/v1/tickets", &[&usual[..], prefer].concat(), b"repo=site&branch=main")
    };
    for prefer in
        [&[("Prefer", "sizes")][..], &[("Prefer", "return=minimal, Sizes")], &[("Prefer", "a"), ("Prefer", "sizes")]]
    {
        let answer = asked(prefer);
        assert_eq!((answer.status, &answer.json()["sizes"]), (201, &json!({"TOKEN": 6, "URL": 9})), "{prefer:?}");
    }
    for prefer in [&[][..], &[("Prefer", "size")], &[("Prefer", "sizes=")]] {
        let answer = asked(prefer);
        assert_eq!((answer.status, answer.json().get("sizes")), (201, None), "{prefer:?}");
    }
}

#[test]
fn the_size_of_a_base64_value_is_that_of_its_bytes() {
    let server = TestServer::start(
        &json!({"homelab/site/main": {"A": "aHVudGVyMg==", "B": "aHVudGVyMjI=", "C": "aHVudGVy", "D": ""}}),
        &[(
            "site",
            json!({
                "subjects": [{"oidc": {"issuer": "ci", "claims": {"role": "build"}}}], "repos": ["**"], "branches": ["**"],
                "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}", "encoding": "base64"}],
            }),
        )],
        &json!({}),
        &[],
    );
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let headers = [("Authorization", bearer.as_str()), form, ("Prefer", "sizes")];
    let answer = server.send("POST", "/v1/tickets", &headers, b"repo=site&branch=main");
    assert_eq!((answer.status, &answer.json()["sizes"]), (201, &json!({"A": 7, "B": 8, "C": 6, "D": 0})));
}
