//! Shadow mode: a policy with `mode: audit` is recorded and counted, and changes no answer.

use crate::rig::claviger::download_path;
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};

const FORM: &str = "repo=site&branch=main";

fn secrets() -> Value {
    json!({"homelab/site": {"TOKEN": "s3cret"}, "extra/site": {"MORE": "m"}})
}

fn deny(extra: &Value) -> Value {
    let mut spec = allow(&[], extra);
    spec["effect"] = json!("deny");
    spec.as_object_mut().unwrap().remove("secrets");
    spec
}

fn bundle(server: &TestServer) -> String {
    let answer = server.asks(FORM);
    assert_eq!(answer.status, 201, "{answer:?}");
    server.claviger.download(&download_path(&answer)).text()
}

fn shadow_counts(server: &TestServer, policy: &str) -> [u64; 3] {
    ["would_allow", "would_deny", "no_change"].map(|outcome| {
        server.claviger.count(&format!("claviger_policy_shadow_total{{outcome=\"{outcome}\",policy=\"{policy}\"}}"))
    })
}

fn last_event(server: &TestServer, kind: &str) -> Value {
    server.claviger.audit_events().into_iter().rfind(|event| event["type"] == kind).unwrap()
}

#[test]
fn the_effect_of_a_shadow_policy_is_recorded_and_changes_nothing() {
    let audit = |extra: Value| {
        let mut extra = extra;
        extra["mode"] = json!("audit");
        extra
    };
    let start = |enforce: bool| {
        let mode = |extra: Value| if enforce { extra } else { audit(extra) };
        TestServer::start(
            &secrets(),
            &[
                ("site", allow(&["homelab/{repo}"], &json!({}))),
                ("more", allow(&["extra/{repo}"], &mode(json!({})))),
                ("no", deny(&mode(json!({"branches": ["release"]})))),
                ("vouched", allow(&["homelab/{repo}"], &mode(json!({"attest": {"branch": "caller.claims.branch"}})))),
            ],
            &json!({}),
            &[],
        )
    };
    let server = start(false);
    for policy in ["more", "no", "vouched"] {
        assert_eq!(shadow_counts(&server, policy), [0; 3], "{policy} is exposed from the start");
    }
    assert!(!server.claviger.metrics().contains("claviger_policy_shadow_total{outcome=\"no_change\",policy=\"site\"}"));
    let reads = || server.claviger.sum("claviger_store_requests_total");
    assert_eq!(bundle(&server), "export TOKEN='s3cret'\n# claviger: 1 keys\n");
    assert_eq!(reads(), 1, "secrets that are not granted are not read");
    let shadow = |policy: &str, effect: &str, would_change: bool| json!({"policy": policy, "effect": effect, "wouldChange": would_change});
    let issued = last_event(&server, "ticket.issued");
    assert_eq!((&issued["policies"], &issued["shadow"]), (&json!(["site"]), &json!([shadow("more", "allow", true)])));
    assert_eq!((shadow_counts(&server, "more"), shadow_counts(&server, "no")), ([1, 0, 0], [0, 0, 0]));

    // A deny policy, and an attestation that differs.
    let token = server.issuer.token(&json!({"branch": "main"}));
    assert_eq!(server.claviger.ask(&token, "repo=site&branch=release").status, 201);
    let issued = last_event(&server, "ticket.issued");
    let all = json!([shadow("more", "allow", true), shadow("no", "deny", true), shadow("vouched", "allow", true)]);
    assert_eq!(issued["shadow"], all);
    assert_eq!((shadow_counts(&server, "no"), shadow_counts(&server, "vouched")), ([0, 1, 0], [0, 1, 0]));

    // The same requests with enforced policies.
    let server = start(true);
    let token = server.issuer.token(&json!({"branch": "main"}));
    let answer = server.claviger.ask(&token, "repo=site&branch=release");
    assert_eq!((answer.status, answer.code().as_str()), (403, "attestation_failed"));
    let answer = server.claviger.ask(&token, FORM);
    assert_eq!(answer.json()["keys"], json!(["MORE", "TOKEN"]), "{answer:?}");
    assert!(last_event(&server, "ticket.issued").get("shadow").is_none());
    assert!(server.claviger.metrics().contains("# TYPE claviger_policy_shadow_total counter"));
}

#[test]
fn a_denied_request_says_which_policy_would_have_allowed_it() {
    let server = TestServer::start(
        &secrets(),
        &[("soon", allow(&["homelab/{repo}"], &json!({"mode": "audit", "delivery": ["ticket", "direct"]})))],
        &json!({"administrators": {"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]}}),
        &[],
    );
    let answer = server.asks(FORM);
    assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
    let denied = last_event(&server, "ticket.denied");
    let would = json!([{"policy": "soon", "effect": "allow", "wouldChange": true}]);
    assert_eq!((&denied["reason"], &denied["shadow"]), (&json!("no_policy_matches"), &would));
    assert_eq!(shadow_counts(&server, "soon"), [1, 0, 0]);
    // The chain with such events is intact.
    let bearer = format!("Bearer {}", server.issuer.token(&json!({"role": "admin"})));
    let verified = server.claviger.send("GET", "/v1/audit/verify", &[("Authorization", &bearer)], b"").json();
    assert_eq!((&verified["ok"], &verified["events"]), (&json!(true), &json!(1)), "{verified}");
}
