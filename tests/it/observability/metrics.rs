//! `/metrics`: every family exists from the start, known label values begin at zero, and callers cannot create
//! series.

use super::exposition::{Exposition, Series};
use crate::rig::http::{exchange, request};
use crate::rig::oidc::{TestServer, allow};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The metrics promised to dashboards: each family, its kind, and its labels with all values in a fresh process.
/// `*` stands for any value where another contract defines the values (error codes, routes).
const PROMISED: [(&str, &str, &str); 18] = [
    ("tickets_issued_total", "counter", "policy=site"),
    ("ticket_requests_total", "counter", "outcome=ok|denied|failed code=*"),
    (
        "ticket_redemptions_total",
        "counter",
        "outcome=redeemed|replayed|already_redeemed|expired|revoked|unknown|misuse",
    ),
    ("tickets_outstanding", "gauge", ""),
    ("authentications_total", "counter", "authenticator=ci|none outcome=ok|denied|failed"),
    ("token_review_duration_seconds", "histogram", ""),
    ("decision_duration_seconds", "histogram", ""),
    (
        "store_requests_total",
        "counter",
        "store=local operation=read|preflight|login|renew|revoke \
         outcome=ok|absent|deleted|misconfigured|forbidden|unavailable|key_absent",
    ),
    ("store_request_duration_seconds", "histogram", "store=local operation=read|preflight|login|renew|revoke"),
    ("lease_cache_requests_total", "counter", "store=local outcome=hit|miss|coalesced|stale"),
    ("leases_active", "gauge", "store=local"),
    ("lease_renewals_total", "counter", "store=local outcome=ok|denied|failed"),
    (
        "audit_events_total",
        "counter",
        "type=ticket.issued|ticket.denied|ticket.failed|ticket.redeemed|ticket.rejected|ticket.expired|ticket.revoked|\
         secrets.read|authn.failed|policy.created|policy.updated|policy.deleted|\
         lease.acquired|lease.renewed|lease.revoked|lease.failed|admin.denied outcome=ok|denied|failed",
    ),
    ("audit_write_duration_seconds", "histogram", ""),
    ("policies", "gauge", ""),
    ("http_requests_total", "counter", "route=* method=* status=*"),
    ("http_request_duration_seconds", "histogram", "route=* method=*"),
    ("build_info", "gauge", "version=*"),
];

/// Additional families, used by alerts.
const MORE: [(&str, &str, &str); 21] = [
    ("errors_total", "counter", "code=*"),
    ("http_connections", "gauge", ""),
    ("http_connections_limit", "gauge", ""),
    ("store_calls_suspended_total", "counter", "store=local scope=server|mount|path"),
    ("lease_revocations_total", "counter", "store=local outcome=ok|failed|given_up"),
    ("leases_orphaned", "gauge", "store=local"),
    ("audit_events_waiting", "gauge", ""),
    ("audit_events_lost_total", "counter", ""),
    ("ready", "gauge", ""),
    ("tls_certificate_expiry_timestamp_seconds", "gauge", ""),
    ("audit_events_pruned_total", "counter", "reason=retention|max_size"),
    ("audit_size_bytes", "gauge", ""),
    ("audit_max_size_bytes", "gauge", ""),
    ("database_free_bytes", "gauge", ""),
    ("database_volume_bytes", "gauge", ""),
    ("database_clock_offset_seconds", "gauge", ""),
    ("database_data_loss_possible", "gauge", "cause=synchronous_commit|asynchronous_standby|unknown_receiver"),
    ("database_data_loss_allowed", "gauge", ""),
    ("policy_file_faults", "gauge", ""),
    ("policy_shadow_total", "counter", "policy=seen outcome=would_allow|would_deny|no_change"),
    ("inventory_secrets", "gauge", "state=used|unused"),
];

/// The process's metrics, under the common names of Prometheus client libraries.
const PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

fn metrics(server: &TestServer) -> Exposition {
    Exposition::read(&server.metrics())
}

/// All combinations of `a=1|2 b=3`.
fn combinations(labels: &str) -> BTreeSet<BTreeMap<String, String>> {
    labels.split_whitespace().fold(BTreeSet::from([BTreeMap::new()]), |all, label| {
        let (name, values) = label.split_once('=').unwrap();
        let with = |one: &BTreeMap<String, String>, value: &str| {
            one.clone().into_iter().chain([(name.to_owned(), value.to_owned())]).collect()
        };
        all.iter().flat_map(|one| values.split('|').map(move |value| with(one, value))).collect()
    })
}

#[test]
fn a_new_process_exposes_exactly_the_promised_metrics() {
    let site = allow(&["homelab/{repo}/{branch}"], &json!({}));
    let seen = allow(&["homelab/{repo}/{branch}"], &json!({"mode": "audit"}));
    let server = TestServer::start(&json!({}), &[("site", site), ("seen", seen)], &json!({}), &[]);
    let told = metrics(&server);
    for (name, kind, labels) in PROMISED.iter().chain(&MORE) {
        let family = told.family(&format!("claviger_{name}"));
        assert_eq!(family.kind, *kind, "{name}");
        assert!(!family.help.is_empty(), "{name}");
        let any: BTreeSet<&str> = labels.split_whitespace().filter_map(|label| label.strip_suffix("=*")).collect();
        let found: BTreeSet<BTreeMap<String, String>> = family
            .series
            .iter()
            .map(|series| {
                let star = |(name, value): (&String, &String)| {
                    (name.clone(), if any.contains(name.as_str()) { "*".into() } else { value.clone() })
                };
                series.labels.iter().filter(|(name, _)| *name != "le").map(star).collect()
            })
            .collect();
        assert_eq!(found, combinations(labels), "{name}");
    }
    let ours: BTreeSet<String> = PROMISED.iter().chain(&MORE).map(|(name, ..)| format!("claviger_{name}")).collect();
    let all: BTreeSet<String> = ours.into_iter().chain(PROCESS.map(str::to_owned)).collect();
    assert_eq!(told.names(), all, "another family is exposed");
}

#[test]
fn label_values_known_beforehand_start_at_zero() {
    let server = TestServer::with_one_secret();
    let told = metrics(&server);
    let not_zero: BTreeMap<String, f64> = told
        .all_series()
        .filter(|series| series.value != 0.0 && series.name.starts_with("claviger_"))
        // The free space of a disk is not zero at the start.
        .filter(|series| {
            !["claviger_database_free_bytes", "claviger_database_volume_bytes"].contains(&series.name.as_str())
        })
        .map(|series| (series.name.clone(), series.value))
        .collect();
    let expected = [
        ("claviger_build_info", 1.0),
        ("claviger_http_connections_limit", 10_000.0),
        ("claviger_policies", 1.0),
        ("claviger_ready", 1.0),
    ];
    assert_eq!(not_zero, expected.map(|(name, value)| (name.to_owned(), value)).into());

    let zero = |series: String| assert_eq!(server.count(&series), 0, "{series}");
    zero(r#"claviger_ticket_requests_total{code="ok",outcome="ok"}"#.into());
    for code in ["denied", "unauthenticated", "attestation_failed", "not_pod_bound", "delivery_not_allowed"] {
        zero(format!(r#"claviger_ticket_requests_total{{code="{code}",outcome="denied"}}"#));
        zero(format!(r#"claviger_errors_total{{code="{code}"}}"#));
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
        "attestation_pending",
        "store_unavailable",
        "audit_unavailable",
        "draining",
    ] {
        zero(format!(r#"claviger_ticket_requests_total{{code="{code}",outcome="failed"}}"#));
        zero(format!(r#"claviger_errors_total{{code="{code}"}}"#));
    }
    for (route, method, status) in [
        ("/v1/tickets", "POST", 201),
        ("/v1/secrets", "POST", 200),
        ("/v1/downloads/{ticket}", "GET", 200),
        ("/v1/downloads/{ticket}", "POST", 200),
        ("/v1/policies", "GET", 200),
    ] {
        zero(format!(r#"claviger_http_requests_total{{method="{method}",route="{route}",status="{status}"}}"#));
    }
}

#[test]
fn prometheus_gets_text_whatever_it_prefers() {
    let server = TestServer::with_one_secret();
    for accept in [
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        "*/*",
    ] {
        let answer = request(server.ops, "GET", "/metrics", &[("Accept", accept)], b"");
        assert_eq!(answer.header("content-type").as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert!(!Exposition::read(&answer.text()).names().is_empty());
    }
}

#[test]
fn a_family_without_series_is_there_too() {
    let server = TestServer::start(&json!({}), &[], &json!({}), &[]);
    let told = metrics(&server);
    let family = told.family("claviger_tickets_issued_total");
    assert_eq!((family.kind.as_str(), family.series.len()), ("counter", 0));
}

#[test]
fn requests_and_their_outcomes_are_counted() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    server.download(&path);
    server.download(&path);
    server.ask(&server.issuer.token(&json!({"role": "other"})), "repo=site&branch=main");
    server.ask("x.y.z", "repo=site&branch=main");
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
        (r#"claviger_errors_total{code="denied"}"#, 1),
        (r#"claviger_errors_total{code="ticket_redeemed"}"#, 1),
    ] {
        assert_eq!(server.count(series), count, "{series}");
    }
    assert!(server.metric("claviger_decision_duration_seconds_sum") > 0.0);
}

#[test]
fn a_hundred_thousand_hostile_inputs_leave_the_number_of_series_unchanged() {
    let server =
        TestServer::start(&json!({}), &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    let series = || metrics(&server).all_series().map(Series::identity).collect::<BTreeSet<_>>();
    send_hostile_requests(&server, 0, 50);
    let before = series();
    for batch in 0..20 {
        send_hostile_requests(&server, 50 + batch * 5000, 5000);
    }
    let after = series();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(server.count(r#"claviger_http_requests_total{method="other",route="unmatched",status="404"}"#), 10_005);
    assert_eq!(server.count("claviger_http_connections"), 0, "connections are counted down too");
}

/// Requests of ten kinds with new names, on several connections at once.
fn send_hostile_requests(server: &TestServer, from: usize, count: usize) {
    let numbers: Vec<usize> = (from..from + count).collect();
    std::thread::scope(|scope| {
        for chunk in numbers.chunks(count.div_ceil(10)) {
            scope.spawn(move || {
                let (last, others) = chunk.split_last().unwrap();
                let mut requests: String = others.iter().map(|n| hostile(server, *n, "")).collect();
                requests += &hostile(server, *last, "Connection: close\r\n");
                let said = exchange(server.api, requests.as_bytes());
                let answers = String::from_utf8_lossy(&said).matches("HTTP/1.1 ").count();
                assert_eq!(answers, chunk.len(), "every request is answered");
            });
        }
    });
}

fn hostile(server: &TestServer, n: usize, more: &str) -> String {
    let token = match n % 10 {
        1 | 2 | 6 => server.issuer.token(&json!({"sub": format!("s-{n}"), "jti": format!("j-{n}")})),
        7 => server.issuer.token(&json!({"role": format!("r-{n}")})),
        8 => server.issuer.token(&json!({"iss": format!("https://i-{n}.invalid")})),
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
