//! Shadow mode: a policy with `mode: audit` is recorded and counted, and changes no answer.

use crate::rig::claviger::download_path;
use crate::rig::oidc::{Edge, allow};
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

fn bundle(edge: &Edge) -> String {
    let answer = edge.asks(FORM);
    assert_eq!(answer.status, 201, "{answer:?}");
    edge.claviger.download(&download_path(&answer)).text()
}

fn counted(edge: &Edge, policy: &str) -> [u64; 3] {
    ["would_allow", "would_deny", "no_change"].map(|outcome| {
        edge.claviger.count(&format!("claviger_policy_shadow_total{{outcome=\"{outcome}\",policy=\"{policy}\"}}"))
    })
}

fn last_of(edge: &Edge, kind: &str) -> Value {
    edge.claviger.audit_events().into_iter().rfind(|event| event["type"] == kind).unwrap()
}

#[test]
fn what_it_would_have_changed_is_recorded_and_counted_and_nothing_changes() {
    let audit = |extra: Value| {
        let mut extra = extra;
        extra["mode"] = json!("audit");
        extra
    };
    let start = |enforce: bool| {
        let mode = |extra: Value| if enforce { extra } else { audit(extra) };
        Edge::start(
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
    let edge = start(false);
    for policy in ["more", "no", "vouched"] {
        assert_eq!(counted(&edge, policy), [0; 3], "{policy} is exposed from the start");
    }
    assert!(!edge.claviger.metrics().contains("claviger_policy_shadow_total{outcome=\"no_change\",policy=\"site\"}"));
    let reads = || edge.claviger.sum("claviger_store_requests_total");
    assert_eq!(bundle(&edge), "export TOKEN='s3cret'\n# claviger: 1 keys\n");
    assert_eq!(reads(), 1, "a secret that is not granted is not read");
    let shadow = |policy: &str, effect: &str, would_change: bool| json!({"policy": policy, "effect": effect, "wouldChange": would_change});
    let issued = last_of(&edge, "ticket.issued");
    assert_eq!((&issued["policies"], &issued["shadow"]), (&json!(["site"]), &json!([shadow("more", "allow", true)])));
    assert_eq!((counted(&edge, "more"), counted(&edge, "no")), ([1, 0, 0], [0, 0, 0]));

    // A deny policy, and an attestation that differs.
    let token = edge.issuer.token(&json!({"branch": "main"}));
    assert_eq!(edge.claviger.ask(&token, "repo=site&branch=release").status, 201);
    let issued = last_of(&edge, "ticket.issued");
    let all = json!([shadow("more", "allow", true), shadow("no", "deny", true), shadow("vouched", "allow", true)]);
    assert_eq!(issued["shadow"], all);
    assert_eq!((counted(&edge, "no"), counted(&edge, "vouched")), ([0, 1, 0], [0, 1, 0]));

    // The same requests where they are enforced.
    let edge = start(true);
    let token = edge.issuer.token(&json!({"branch": "main"}));
    let answer = edge.claviger.ask(&token, "repo=site&branch=release");
    assert_eq!((answer.status, answer.code().as_str()), (403, "attestation_failed"));
    let answer = edge.claviger.ask(&token, FORM);
    assert_eq!(answer.json()["keys"], json!(["MORE", "TOKEN"]), "{answer:?}");
    assert!(last_of(&edge, "ticket.issued").get("shadow").is_none());
    assert!(edge.claviger.metrics().contains("# TYPE claviger_policy_shadow_total counter"));
}

#[test]
fn a_denied_request_says_which_policy_would_have_allowed_it() {
    let edge = Edge::start(
        &secrets(),
        &[("soon", allow(&["homelab/{repo}"], &json!({"mode": "audit", "delivery": ["ticket", "direct"]})))],
        &json!({"administrators": {"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]}}),
        &[],
    );
    let answer = edge.asks(FORM);
    assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
    let denied = last_of(&edge, "ticket.denied");
    let would = json!([{"policy": "soon", "effect": "allow", "wouldChange": true}]);
    assert_eq!((&denied["reason"], &denied["shadow"]), (&json!("no_policy_matches"), &would));
    assert_eq!(counted(&edge, "soon"), [1, 0, 0]);
    // The chain with such events is intact.
    let bearer = format!("Bearer {}", edge.issuer.token(&json!({"role": "admin"})));
    let verified = edge.claviger.send("GET", "/v1/audit/verify", &[("Authorization", &bearer)], b"").json();
    assert_eq!((&verified["ok"], &verified["events"]), (&json!(true), &json!(1)), "{verified}");
}
