//! One event for every request that a verb handles, whatever its outcome; none for reads.

use crate::rig::http::Answer;
use crate::rig::oidc::{Edge, allow};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Requests with the status of their answers and the one event each leaves: type, outcome, reason.
struct Count {
    edge: Edge,
    expected: Vec<(&'static str, &'static str, Option<&'static str>)>,
}

type Left = Option<(&'static str, &'static str, Option<&'static str>)>;

impl Count {
    fn bearer(&self, role: &str) -> String {
        format!("Bearer {}", self.edge.issuer.token(&json!({"role": role})))
    }

    fn is(&mut self, answer: &Answer, status: u16, left: Left) {
        assert_eq!(answer.status, status, "{left:?}: {answer:?}");
        self.expected.extend(left);
    }

    fn asks(&mut self, target: &str, form: &str, status: u16, left: Left) -> Answer {
        let bearer = self.bearer("build");
        let answer = self.edge.send("POST", target, &[("Authorization", &bearer), FORM], form.as_bytes());
        self.is(&answer, status, left);
        answer
    }

    fn administers(&mut self, role: &str, method: &str, target: &str, body: &Value, status: u16, left: Left) {
        let bearer = self.bearer(role);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.edge.send(method, target, &[("Authorization", &bearer), JSON], &body);
        self.is(&answer, status, left);
    }

    fn downloads(&mut self, path: &str, headers: &[(&str, &str)], status: u16, left: Left) {
        let answer = self.edge.send("GET", path, headers, b"");
        self.is(&answer, status, left);
    }

    fn ticket(&mut self, form: &str) -> String {
        let issued = self.asks("/v1/tickets", form, 201, Some(("ticket.issued", "ok", None)));
        crate::rig::claviger::download_path(&issued)
    }

    /// The events in the log, each as often as its count says.
    fn found(&self) -> Vec<(String, String, Option<String>)> {
        let mut found = Vec::new();
        for event in self.edge.audit_events() {
            let text = |member: &Value| member.as_str().map(str::to_owned);
            let one = (text(&event["type"]).unwrap(), text(&event["outcome"]).unwrap(), text(&event["reason"]));
            let times = event.get("count").map_or(1, |count| usize::try_from(count.as_u64().unwrap()).unwrap());
            found.extend(std::iter::repeat_n(one, times));
        }
        found.sort();
        found
    }
}

fn count() -> Count {
    let secrets = json!({"homelab/site/main": {"TOKEN": "s3cret", "ODD": "a\u{0}b"}, "homelab/half": {"L": "v"}});
    let both = json!({"repos": ["site"], "delivery": ["ticket", "direct"]});
    let half = json!([{"store": "local", "path": "homelab/half", "required": true, "keys": ["K"]}]);
    let none = json!([{"store": "local", "path": "homelab/none", "required": true}]);
    let attested = json!({
        "subjects": [{"oidc": {"issuer": "ci", "claims": {"role": "attested"}}}],
        "repos": ["attested"],
        "attest": {"branch": "caller.claims.ref"},
    });
    let policies = [
        ("site", allow(&["homelab/{repo}/{branch}"], &both)),
        ("tickets", allow(&["homelab/site/main"], &json!({"repos": ["tickets"], "delivery": ["ticket"]}))),
        ("direct", allow(&["homelab/site/main"], &json!({"repos": ["direct"], "delivery": ["direct"]}))),
        ("half", allow(&[], &json!({"repos": ["half"], "secrets": half, "delivery": ["ticket", "direct"]}))),
        ("none", allow(&[], &json!({"repos": ["none"], "secrets": none, "delivery": ["ticket", "direct"]}))),
        ("attested", allow(&["homelab/site/main"], &attested)),
    ];
    let server = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let administrators = json!({"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]});
    let config = json!({"server": server, "administrators": administrators});
    Count { edge: Edge::start(&secrets, &policies, &config, &[]), expected: Vec::new() }
}

fn spec() -> Value {
    allow(&["homelab/site/main"], &json!({"repos": ["made"]}))
}

#[test]
fn every_verb_leaves_one_event_on_every_way_out() {
    let mut count = count();
    callers(&mut count);
    redeemers(&mut count);
    administrators(&mut count);
    only_looking(&mut count);
    let mut expected: Vec<_> = count
        .expected
        .iter()
        .map(|(kind, outcome, reason)| ((*kind).to_owned(), (*outcome).to_owned(), reason.map(str::to_owned)))
        .collect();
    expected.sort();
    // Counts are written once a second.
    let deadline = Instant::now() + Duration::from_secs(10);
    while count.found().len() < expected.len() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(count.found(), expected);
}

/// Requests to issue and to redeem.
fn callers(count: &mut Count) {
    for (target, failed, denied) in
        [("/v1/tickets", "ticket.failed", "ticket.denied"), ("/v1/secrets", "secrets.read", "secrets.read")]
    {
        let fails = |reason| Some((failed, "failed", Some(reason)));
        let refuses = |reason| Some((denied, "denied", Some(reason)));
        for (form, status, left) in [
            ("repo=elsewhere&branch=main", 403, refuses("no_policy_matches")),
            ("repo=a..b//&branch=main", 422, fails("invalid_repo")),
            ("repo=site&branch=a..b", 422, fails("invalid_branch")),
            ("repo=site&branch=main&ttl=nonsense", 400, fails("invalid_request")),
            ("repo=site&branch=main&nonsense=1", 400, fails("invalid_request")),
            ("repo=site&branch=main&repo=site", 400, fails("invalid_request")),
            ("repo=site&branch=none&required=true", 404, fails("secret_not_found")),
            ("repo=none&branch=main", 404, fails("secret_not_found")),
            ("repo=half&branch=main", 502, fails("key_absent")),
        ] {
            count.asks(target, form, status, left);
        }
        let attested = count.bearer("attested");
        let attested = [("Authorization", attested.as_str()), FORM];
        let answer = count.edge.send("POST", target, &attested, b"repo=attested&branch=main");
        count.is(&answer, 403, refuses("attestation_failed"));
        let bearer = count.bearer("build");
        let plain = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
        let answer = count.edge.send("POST", target, &plain, b"repo=site");
        count.is(&answer, 415, fails("unsupported_media_type"));
        let big = vec![b'a'; 70_000];
        let form = [("Authorization", bearer.as_str()), FORM];
        let answer = count.edge.send("POST", target, &form, &big);
        count.is(&answer, 413, fails("payload_too_large"));
        let refused = Some(("authn.failed", "denied", Some("no_token")));
        let answer = count.edge.send("POST", target, &[FORM], b"repo=site&branch=main");
        count.is(&answer, 401, refused);
    }
    count.asks(
        "/v1/tickets",
        "repo=direct&branch=main",
        403,
        Some(("ticket.denied", "denied", Some("delivery_not_allowed"))),
    );
    count.asks(
        "/v1/secrets",
        "repo=tickets&branch=main",
        403,
        Some(("secrets.read", "denied", Some("delivery_not_allowed"))),
    );
    count.asks("/v1/secrets", "repo=site&branch=main&keys=TOKEN", 200, Some(("secrets.read", "ok", None)));
    count.asks("/v1/secrets", "repo=site&branch=main", 422, Some(("secrets.read", "failed", Some("unrenderable"))));
}

fn redeemers(count: &mut Count) {
    let rejected = |reason| Some(("ticket.rejected", "denied", Some(reason)));
    let failed = |reason| Some(("ticket.failed", "failed", Some(reason)));
    let path = count.ticket("repo=site&branch=main&keys=TOKEN");
    count.downloads(&format!("{path}?format=raw&key=NONE"), &[], 404, failed("secret_not_found"));
    count.downloads(&path, &[], 200, Some(("ticket.redeemed", "ok", None)));
    count.downloads(&path, &[], 410, rejected("already_redeemed"));
    let again = [("Idempotency-Key", "again")];
    let path = count.ticket("repo=site&branch=main&keys=TOKEN");
    count.downloads(&path, &again, 200, Some(("ticket.redeemed", "ok", None)));
    count.downloads(&path, &again, 200, Some(("ticket.redeemed", "ok", Some("replay"))));
    count.downloads(&path, &[("Idempotency-Key", "other")], 410, rejected("already_redeemed"));
    let path = count.ticket("repo=site&branch=main");
    count.downloads(&path, &[], 422, failed("unrenderable"));
    count.downloads(&format!("{path}?format=raw"), &[], 400, failed("invalid_request"));
    count.downloads(&path, &[("X-Forwarded-For", "203.0.113.9")], 403, rejected("misuse"));
    count.downloads(&path, &[], 410, rejected("revoked"));
    let unknown = format!("/v1/downloads/{}.{}", "A".repeat(22), "A".repeat(43));
    count.downloads(&unknown, &[], 404, rejected("unknown"));
    count.downloads("/v1/downloads/nonsense", &[], 404, rejected("unknown"));
    let path = count.ticket("repo=site&branch=main&ttl=1s");
    std::thread::sleep(Duration::from_millis(2500));
    count.expected.push(("ticket.expired", "ok", None));
    count.downloads(&path, &[], 410, rejected("expired"));
}

fn administrators(count: &mut Count) {
    let changed = |kind| Some((kind, "ok", None));
    let failed = |kind, reason| Some((kind, "failed", Some(reason)));
    let made = json!({"name": "made", "spec": spec()});
    let one = "/v1/policies/made";
    count.administers("admin", "POST", "/v1/policies", &made, 201, changed("policy.created"));
    count.administers("admin", "POST", "/v1/policies", &made, 409, failed("policy.created", "already_exists"));
    count.administers(
        "admin",
        "POST",
        "/v1/policies",
        &json!({"name": "bad"}),
        422,
        failed("policy.created", "invalid_policy"),
    );
    count.administers(
        "admin",
        "POST",
        "/v1/policies",
        &json!({"name": "site", "spec": spec()}),
        409,
        failed("policy.created", "read_only"),
    );
    let bearer = count.bearer("admin");
    let (plain, json) = (("Content-Type", "text/plain"), JSON);
    let big = vec![b'a'; 70_000];
    for (method, target, kind) in [("POST", "/v1/policies", "policy.created"), ("PUT", one, "policy.updated")] {
        let answer = count.edge.send(method, target, &[("Authorization", &bearer), plain], b"{}");
        count.is(&answer, 415, failed(kind, "unsupported_media_type"));
        let answer = count.edge.send(method, target, &[("Authorization", &bearer), json], &big);
        count.is(&answer, 413, failed(kind, "payload_too_large"));
        // A caller who cannot write is refused, whatever the body is.
        let builder = count.bearer("build");
        let answer = count.edge.send(method, target, &[("Authorization", &builder), plain], b"{}");
        count.is(&answer, 403, Some(("admin.denied", "denied", Some("not_listed"))));
    }
    count.administers("admin", "PUT", one, &json!({"spec": spec()}), 200, changed("policy.updated"));
    count.administers("admin", "PUT", "/v1/policies/other", &json!({"spec": spec()}), 201, changed("policy.created"));
    count.administers(
        "admin",
        "PUT",
        one,
        &json!({"name": "x", "spec": spec()}),
        400,
        failed("policy.updated", "invalid_request"),
    );
    count.administers("admin", "PUT", one, &json!({"spec": {}}), 422, failed("policy.updated", "invalid_policy"));
    count.administers("admin", "DELETE", "/v1/policies/other", &Value::Null, 204, changed("policy.deleted"));
    count.administers(
        "admin",
        "DELETE",
        "/v1/policies/other",
        &Value::Null,
        404,
        failed("policy.deleted", "not_found"),
    );
    count.administers("admin", "DELETE", "/v1/policies/site", &Value::Null, 409, failed("policy.deleted", "read_only"));
    let bearer = count.bearer("build");
    let asked = count.edge.send("POST", "/v1/tickets", &[("Authorization", &bearer), FORM], b"repo=site&branch=main");
    count.is(&asked, 201, Some(("ticket.issued", "ok", None)));
    let waiting = format!("/v1/tickets/{}", asked.json()["ticketId"].as_str().unwrap());
    count.administers("admin", "DELETE", &waiting, &Value::Null, 204, Some(("ticket.revoked", "ok", None)));
    count.administers("admin", "DELETE", &waiting, &Value::Null, 404, None);
    // Values of a file have no lease, so nothing is revoked; `admin::leases` has leases of a Vault.
    let leases = "/v1/leases?store=local&path=homelab/site/main";
    count.administers("admin", "DELETE", leases, &Value::Null, 204, None);
    let described = json!({"caller": {"issuer": "ci", "subject": "x", "claims": {"role": "build"}}, "repo": "site", "branch": "main"});
    for (method, target, body) in [
        ("DELETE", waiting.as_str(), &Value::Null),
        ("DELETE", leases, &Value::Null),
        ("DELETE", "/v1/leases/nobody", &Value::Null),
        ("GET", "/v1/tickets", &Value::Null),
        ("GET", "/v1/leases", &Value::Null),
        ("POST", "/v1/policies", &made),
        ("PUT", one, &made),
        ("DELETE", one, &Value::Null),
        ("GET", "/v1/policies", &Value::Null),
        ("GET", one, &Value::Null),
        ("GET", "/v1/policies/made/revisions", &Value::Null),
        ("POST", "/v1/decisions", &described),
        ("GET", "/v1/audit", &Value::Null),
        ("GET", "/v1/audit/verify", &Value::Null),
    ] {
        let denied = Some(("admin.denied", "denied", Some("not_listed")));
        count.administers("build", method, target, body, 403, denied);
        let answer = count.edge.send(method, target, &[("Authorization", "Bearer x.y.z"), JSON], b"");
        count.is(&answer, 401, Some(("authn.failed", "denied", Some("malformed_token"))));
    }
}

fn only_looking(count: &mut Count) {
    let described = json!({"caller": {"issuer": "ci", "subject": "x", "claims": {"role": "build"}}, "repo": "site", "branch": "main"});
    count.administers("admin", "POST", "/v1/decisions", &described, 200, None);
    for target in [
        "/v1/policies",
        "/v1/policies/made",
        "/v1/policies/made/revisions",
        "/v1/audit",
        "/v1/audit/verify",
        "/v1/tickets",
        "/v1/leases",
    ] {
        count.administers("admin", "GET", target, &Value::Null, 200, None);
    }
    count.administers(
        "admin",
        "POST",
        "/v1/policies?dryRun=true",
        &json!({"name": "tried", "spec": spec()}),
        201,
        None,
    );
    count.administers("admin", "DELETE", "/v1/policies/made?dryRun=true", &Value::Null, 204, None);
    count.administers("admin", "GET", "/v1/policies/nobody", &Value::Null, 404, None);
    let answer = count.edge.send("GET", "/nowhere", &[], b"");
    count.is(&answer, 404, None);
}
