//! `/metrics`: every family from the start, label values at zero, and no series for what callers choose.

use crate::rig::http::{exchange, request};
use crate::rig::oidc::{Edge, allow};
use serde_json::json;
use std::collections::BTreeSet;

/// The promise to dashboards: each family, its labels in any order, and its kind.
const FAMILIES: [(&str, &str, &str); 19] = [
    ("tickets_issued_total", "policy", "counter"),
    ("ticket_requests_total", "code outcome", "counter"),
    ("ticket_redemptions_total", "outcome", "counter"),
    ("tickets_outstanding", "", "gauge"),
    ("authentications_total", "authenticator outcome", "counter"),
    ("token_review_duration_seconds", "", "histogram"),
    ("decision_duration_seconds", "", "histogram"),
    ("store_requests_total", "operation outcome store", "counter"),
    ("store_request_duration_seconds", "operation store", "histogram"),
    ("lease_cache_requests_total", "outcome store", "counter"),
    ("leases_active", "store", "gauge"),
    ("lease_renewals_total", "outcome store", "counter"),
    ("audit_events_total", "outcome type", "counter"),
    ("audit_write_duration_seconds", "", "histogram"),
    ("policies", "", "gauge"),
    ("http_requests_total", "method route status", "counter"),
    ("http_request_duration_seconds", "method route", "histogram"),
    ("build_info", "", "gauge"),
    ("build_info", "version", "gauge"),
];

fn metrics(edge: &Edge) -> String {
    request(edge.ops, "GET", "/metrics", &[], b"").text()
}

/// Every series, without its value.
fn series(edge: &Edge) -> BTreeSet<String> {
    let text = metrics(edge);
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn every_family_is_there_from_the_start() {
    let edge = Edge::usual();
    let text = metrics(&edge);
    for (name, labels, kind) in FAMILIES {
        let name = format!("claviger_{name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}\n{text}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        let sample = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
        let found: Vec<BTreeSet<&str>> = text
            .lines()
            .filter_map(|line| line.strip_prefix(sample.as_str()))
            .filter(|rest| rest.starts_with([' ', '{']))
            .map(|rest| rest.split(['{', ',']).filter_map(|label| Some(label.split_once("=\"")?.0)).collect())
            .collect();
        assert!(!found.is_empty(), "{name} has no series");
        if name != "claviger_build_info" {
            let labels: BTreeSet<&str> = labels.split_whitespace().collect();
            assert!(found.iter().all(|there| *there == labels), "{name}: {found:?}");
        }
    }
    let families = text.lines().filter(|line| line.starts_with("# TYPE claviger_")).count();
    assert_eq!(families, FAMILIES.len() - 1, "no other family bears the prefix");
}

#[test]
fn a_family_without_series_is_there_too() {
    let edge = Edge::start(&json!({}), &[], &json!({}), &[]);
    assert!(metrics(&edge).contains("# TYPE claviger_tickets_issued_total counter\n"));
}

#[test]
fn label_values_known_beforehand_start_at_zero() {
    let edge = Edge::usual();
    let zero = |series: String| assert_eq!(edge.count(&series), 0, "{series}");
    for outcome in ["redeemed", "replayed", "already_redeemed", "expired", "revoked", "unknown", "misuse"] {
        zero(format!(r#"claviger_ticket_redemptions_total{{outcome="{outcome}"}}"#));
    }
    zero(r#"claviger_tickets_issued_total{policy="site"}"#.into());
    zero(r#"claviger_ticket_requests_total{code="ok",outcome="ok"}"#.into());
    for code in ["denied", "unauthenticated", "not_pod_bound", "delivery_not_allowed"] {
        zero(format!(r#"claviger_ticket_requests_total{{code="{code}",outcome="denied"}}"#));
    }
    for code in [
        "invalid_request",
        "invalid_repo",
        "invalid_branch",
        "secret_not_found",
        "rate_limited",
        "store_misconfigured",
        "store_forbidden",
        "key_absent",
        "token_review_unavailable",
        "store_unavailable",
        "audit_unavailable",
        "draining",
    ] {
        zero(format!(r#"claviger_ticket_requests_total{{code="{code}",outcome="failed"}}"#));
    }
    for outcome in ["ok", "denied", "failed"] {
        zero(format!(r#"claviger_authentications_total{{authenticator="ci",outcome="{outcome}"}}"#));
        for kind in ["issued", "denied", "failed", "redeemed", "rejected", "expired", "revoked"] {
            zero(format!(r#"claviger_audit_events_total{{outcome="{outcome}",type="ticket.{kind}"}}"#));
        }
    }
    for operation in ["read", "preflight", "login", "renew", "revoke"] {
        for outcome in ["ok", "absent", "deleted", "misconfigured", "forbidden", "unavailable", "key_absent"] {
            zero(format!(
                r#"claviger_store_requests_total{{operation="{operation}",outcome="{outcome}",store="local"}}"#
            ));
        }
    }
    for outcome in ["hit", "miss", "coalesced", "stale"] {
        zero(format!(r#"claviger_lease_cache_requests_total{{outcome="{outcome}",store="local"}}"#));
    }
    for (route, method, status) in
        [("/v1/tickets", "POST", 201), ("/v1/downloads/{ticket}", "GET", 200), ("/v1/downloads/{ticket}", "POST", 200)]
    {
        zero(format!(r#"claviger_http_requests_total{{method="{method}",route="{route}",status="{status}"}}"#));
    }
    assert_eq!(edge.count("claviger_policies"), 1);
}

#[test]
fn what_happens_is_counted() {
    let edge = Edge::usual();
    let path = edge.usual_path();
    edge.download(&path);
    edge.download(&path);
    edge.ask(&edge.issuer.token(&json!({"role": "other"})), "repo=site&branch=main");
    edge.ask("x.y.z", "repo=site&branch=main");
    for (series, count) in [
        (r#"claviger_tickets_issued_total{policy="site"}"#, 1),
        (r#"claviger_ticket_requests_total{code="ok",outcome="ok"}"#, 1),
        (r#"claviger_ticket_requests_total{code="denied",outcome="denied"}"#, 1),
        (r#"claviger_ticket_requests_total{code="unauthenticated",outcome="denied"}"#, 1),
        (r#"claviger_authentications_total{authenticator="ci",outcome="ok"}"#, 2),
        (r#"claviger_authentications_total{authenticator="none",outcome="denied"}"#, 1),
        (r#"claviger_store_requests_total{operation="read",outcome="ok",store="local"}"#, 1),
        (r#"claviger_audit_events_total{outcome="ok",type="ticket.issued"}"#, 1),
        (r#"claviger_audit_events_total{outcome="ok",type="ticket.redeemed"}"#, 1),
        (r#"claviger_audit_events_total{outcome="denied",type="ticket.denied"}"#, 1),
        (r#"claviger_http_requests_total{method="POST",route="/v1/tickets",status="201"}"#, 1),
        (r#"claviger_http_requests_total{method="GET",route="/v1/downloads/{ticket}",status="410"}"#, 1),
        ("claviger_decision_duration_seconds_count", 2),
    ] {
        assert_eq!(edge.count(series), count, "{series}");
    }
    assert!(edge.metric("claviger_decision_duration_seconds_sum") > 0.0);
}

#[test]
fn ten_thousand_hostile_inputs_leave_the_number_of_series_unchanged() {
    let edge = Edge::start(&json!({}), &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    round(&edge, 0, 50);
    let before = series(&edge);
    for batch in 1..=20 {
        round(&edge, batch * 500, 500);
    }
    let after = series(&edge);
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(edge.count(r#"claviger_http_requests_total{method="other",route="unmatched",status="404"}"#), 1005);
}

/// Requests of ten kinds, each of which nobody has ever made before, on several connections at once.
fn round(edge: &Edge, from: usize, count: usize) {
    let numbers: Vec<usize> = (from..from + count).collect();
    std::thread::scope(|scope| {
        for chunk in numbers.chunks(50) {
            scope.spawn(move || {
                let (last, others) = chunk.split_last().unwrap();
                let mut requests: String = others.iter().map(|n| hostile(edge, *n, "")).collect();
                requests += &hostile(edge, *last, "Connection: close\r\n");
                let said = exchange(edge.api, requests.as_bytes());
                let answers = String::from_utf8_lossy(&said).matches("HTTP/1.1 ").count();
                assert_eq!(answers, chunk.len(), "every request is answered");
            });
        }
    });
}

fn hostile(edge: &Edge, n: usize, more: &str) -> String {
    let token = match n % 10 {
        1 | 2 | 6 => edge.issuer.token(&json!({"sub": format!("s-{n}"), "jti": format!("j-{n}")})),
        7 => edge.issuer.token(&json!({"role": format!("r-{n}")})),
        8 => edge.issuer.token(&json!({"iss": format!("https://i-{n}.invalid")})),
        _ => format!("x-{n}.y.z"),
    };
    let ask = |body: String| ("POST".to_owned(), "/v1/tickets".to_owned(), body);
    let (method, target, body) = match n % 10 {
        0 => (format!("M{n}"), format!("/p-{n}"), String::new()),
        1 => ask(format!("repo=r-{n}&branch=b-{n}")),
        2 => ask(format!("repo=r-{n}&branch=b~{n}")),
        3 => ("GET".to_owned(), format!("/v1/downloads/t-{n}"), String::new()),
        4 => ("GET".to_owned(), format!("/v1/downloads/x?f{n}=1"), String::new()),
        5 => (format!("X{n}"), format!("/v1/downloads/t-{n}"), String::new()),
        6 => ask(format!("f-{n}=1")),
        _ => ask(format!("repo=site&branch=b-{n}")),
    };
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: h-{n}\r\nX-{n}: x\r\nUser-Agent: u-{n}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n{more}Content-Length: {length}\r\n\r\n{body}"
    )
}
