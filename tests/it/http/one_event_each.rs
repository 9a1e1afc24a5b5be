//! One event for every request that a verb handles, whatever its outcome; none for reads.

use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Sends requests, checks the status of each answer, and collects the expected event: type, outcome, reason.
struct ExpectedEvents {
    server: TestServer,
    expected: Vec<(&'static str, &'static str, Option<&'static str>)>,
}

type ExpectedEvent = Option<(&'static str, &'static str, Option<&'static str>)>;

impl ExpectedEvents {
    fn bearer(&self, role: &str) -> String {
        format!("Bearer {}", self.server.issuer.token(&json!({"role": role})))
    }

    fn expect_event(&mut self, answer: &Answer, status: u16, expected: ExpectedEvent) {
        assert_eq!(answer.status, status, "{expected:?}: {answer:?}");
        self.expected.extend(expected);
    }

    fn asks(&mut self, target: &str, form: &str, status: u16, expected: ExpectedEvent) -> Answer {
        let bearer = self.bearer("build");
        let answer = self.server.send("POST", target, &[("Authorization", &bearer), FORM], form.as_bytes());
        self.expect_event(&answer, status, expected);
        answer
    }

    fn administers(
        &mut self,
        role: &str,
        method: &str,
        target: &str,
        body: &Value,
        status: u16,
        expected: ExpectedEvent,
    ) {
        let bearer = self.bearer(role);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.server.send(method, target, &[("Authorization", &bearer), JSON], &body);
        self.expect_event(&answer, status, expected);
    }

    fn downloads(&mut self, path: &str, headers: &[(&str, &str)], status: u16, expected: ExpectedEvent) {
        let answer = self.server.send("GET", path, headers, b"");
        self.expect_event(&answer, status, expected);
    }

    fn ticket(&mut self, form: &str) -> String {
        let issued = self.asks("/v1/tickets", form, 201, Some(("ticket.issued", "ok", None)));
        crate::rig::claviger::download_path(&issued)
    }

    /// The events in the log; an event with a count is repeated.
    fn found(&self) -> Vec<(String, String, Option<String>)> {
        let mut found = Vec::new();
        for event in self.server.audit_events() {
            let text = |member: &Value| member.as_str().map(str::to_owned);
            let one = (text(&event["type"]).unwrap(), text(&event["outcome"]).unwrap(), text(&event["reason"]));
            let times = event.get("count").map_or(1, |count| usize::try_from(count.as_u64().unwrap()).unwrap());
            found.extend(std::iter::repeat_n(one, times));
        }
        found.sort();
        found
    }
}

fn start() -> ExpectedEvents {
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
    let server_section =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let administrators = json!({"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]});
    let config = json!({"server": server_section, "administrators": administrators});
    ExpectedEvents { server: TestServer::start(&secrets, &policies, &config, &[]), expected: Vec::new() }
}

fn spec() -> Value {
    allow(&["homelab/site/main"], &json!({"repos": ["made"]}))
}

#[test]
fn every_verb_writes_one_event_for_every_outcome() {
    let mut events = start();
    callers(&mut events);
    redeemers(&mut events);
    administrators(&mut events);
    reads_leave_no_event(&mut events);
    let mut expected: Vec<_> = events
        .expected
        .iter()
        .map(|(kind, outcome, reason)| ((*kind).to_owned(), (*outcome).to_owned(), reason.map(str::to_owned)))
        .collect();
    expected.sort();
    // Counts are written once a second.
    let deadline = Instant::now() + Duration::from_secs(10);
    while events.found().len() < expected.len() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(events.found(), expected);
}

/// Requests to issue and to redeem.
fn callers(events: &mut ExpectedEvents) {
    for (target, failed, denied) in
        [("/v1/tickets", "ticket.failed", "ticket.denied"), ("/v1/secrets", "secrets.read", "secrets.read")]
    {
        let fails = |reason| Some((failed, "failed", Some(reason)));
        let refuses = |reason| Some((denied, "denied", Some(reason)));
        for (form, status, expected) in [
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
            events.asks(target, form, status, expected);
        }
        let attested = events.bearer("attested");
        let attested = [("Authorization", attested.as_str()), FORM];
        let answer = events.server.send("POST", target, &attested, b"repo=attested&branch=main");
        events.expect_event(&answer, 403, refuses("attestation_failed"));
        let bearer = events.bearer("build");
        let plain = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
        let answer = events.server.send("POST", target, &plain, b"repo=site");
        events.expect_event(&answer, 415, fails("unsupported_media_type"));
        let big = vec![b'a'; 70_000];
        let form = [("Authorization", bearer.as_str()), FORM];
        let answer = events.server.send("POST", target, &form, &big);
        events.expect_event(&answer, 413, fails("payload_too_large"));
        let refused = Some(("authn.failed", "denied", Some("no_token")));
        let answer = events.server.send("POST", target, &[FORM], b"repo=site&branch=main");
        events.expect_event(&answer, 401, refused);
    }
    events.asks(
        "/v1/tickets",
        "repo=direct&branch=main",
        403,
        Some(("ticket.denied", "denied", Some("delivery_not_allowed"))),
    );
    events.asks(
        "/v1/secrets",
        "repo=tickets&branch=main",
        403,
        Some(("secrets.read", "denied", Some("delivery_not_allowed"))),
    );
    events.asks("/v1/secrets", "repo=site&branch=main&keys=TOKEN", 200, Some(("secrets.read", "ok", None)));
    events.asks("/v1/secrets", "repo=site&branch=main", 422, Some(("secrets.read", "failed", Some("unrenderable"))));
}

fn redeemers(events: &mut ExpectedEvents) {
    let rejected = |reason| Some(("ticket.rejected", "denied", Some(reason)));
    let failed = |reason| Some(("ticket.failed", "failed", Some(reason)));
    let path = events.ticket("repo=site&branch=main&keys=TOKEN");
    events.downloads(&format!("{path}?format=raw&key=NONE"), &[], 404, failed("secret_not_found"));
    events.downloads(&path, &[], 200, Some(("ticket.redeemed", "ok", None)));
    events.downloads(&path, &[], 410, rejected("already_redeemed"));
    let again = [("Idempotency-Key", "again")];
    let path = events.ticket("repo=site&branch=main&keys=TOKEN");
    events.downloads(&path, &again, 200, Some(("ticket.redeemed", "ok", None)));
    events.downloads(&path, &again, 200, Some(("ticket.redeemed", "ok", Some("replay"))));
    events.downloads(&path, &[("Idempotency-Key", "other")], 410, rejected("already_redeemed"));
    let path = events.ticket("repo=site&branch=main");
    events.downloads(&path, &[], 422, failed("unrenderable"));
    events.downloads(&format!("{path}?format=raw"), &[], 400, failed("invalid_request"));
    events.downloads(&path, &[("X-Forwarded-For", "203.0.113.9")], 403, rejected("misuse"));
    events.downloads(&path, &[], 410, rejected("revoked"));
    let unknown = format!("/v1/downloads/{}.{}", "A".repeat(22), "A".repeat(43));
    events.downloads(&unknown, &[], 404, rejected("unknown"));
    events.downloads("/v1/downloads/nonsense", &[], 404, rejected("unknown"));
    let path = events.ticket("repo=site&branch=main&ttl=1s");
    std::thread::sleep(Duration::from_millis(2500));
    events.expected.push(("ticket.expired", "ok", None));
    events.downloads(&path, &[], 410, rejected("expired"));
}

fn administrators(events: &mut ExpectedEvents) {
    let changed = |kind| Some((kind, "ok", None));
    let failed = |kind, reason| Some((kind, "failed", Some(reason)));
    let made = json!({"name": "made", "spec": spec()});
    let one = "/v1/policies/made";
    events.administers("admin", "POST", "/v1/policies", &made, 201, changed("policy.created"));
    events.administers("admin", "POST", "/v1/policies", &made, 409, failed("policy.created", "already_exists"));
    events.administers(
        "admin",
        "POST",
        "/v1/policies",
        &json!({"name": "bad"}),
        422,
        failed("policy.created", "invalid_policy"),
    );
    events.administers(
        "admin",
        "POST",
        "/v1/policies",
        &json!({"name": "site", "spec": spec()}),
        409,
        failed("policy.created", "read_only"),
    );
    let bearer = events.bearer("admin");
    let (plain, json) = (("Content-Type", "text/plain"), JSON);
    let big = vec![b'a'; 70_000];
    for (method, target, kind) in [("POST", "/v1/policies", "policy.created"), ("PUT", one, "policy.updated")] {
        let answer = events.server.send(method, target, &[("Authorization", &bearer), plain], b"{}");
        events.expect_event(&answer, 415, failed(kind, "unsupported_media_type"));
        let answer = events.server.send(method, target, &[("Authorization", &bearer), json], &big);
        events.expect_event(&answer, 413, failed(kind, "payload_too_large"));
        // A caller who cannot write is refused, whatever the body is.
        let builder = events.bearer("build");
        let answer = events.server.send(method, target, &[("Authorization", &builder), plain], b"{}");
        events.expect_event(&answer, 403, Some(("admin.denied", "denied", Some("not_listed"))));
    }
    events.administers("admin", "PUT", one, &json!({"spec": spec()}), 200, changed("policy.updated"));
    events.administers("admin", "PUT", "/v1/policies/other", &json!({"spec": spec()}), 201, changed("policy.created"));
    events.administers(
        "admin",
        "PUT",
        one,
        &json!({"name": "x", "spec": spec()}),
        400,
        failed("policy.updated", "invalid_request"),
    );
    events.administers("admin", "PUT", one, &json!({"spec": {}}), 422, failed("policy.updated", "invalid_policy"));
    events.administers("admin", "DELETE", "/v1/policies/other", &Value::Null, 204, changed("policy.deleted"));
    events.administers(
        "admin",
        "DELETE",
        "/v1/policies/other",
        &Value::Null,
        404,
        failed("policy.deleted", "not_found"),
    );
    events.administers(
        "admin",
        "DELETE",
        "/v1/policies/site",
        &Value::Null,
        409,
        failed("policy.deleted", "read_only"),
    );
    let bearer = events.bearer("build");
    let asked =
        events.server.send("POST", "/v1/tickets", &[("Authorization", &bearer), FORM], b"repo=site&branch=main");
    events.expect_event(&asked, 201, Some(("ticket.issued", "ok", None)));
    let waiting = format!("/v1/tickets/{}", asked.json()["ticketId"].as_str().unwrap());
    events.administers("admin", "DELETE", &waiting, &Value::Null, 204, Some(("ticket.revoked", "ok", None)));
    events.administers("admin", "DELETE", &waiting, &Value::Null, 404, None);
    // Values of a file have no lease, so nothing is revoked; `admin::leases` has leases of a Vault.
    let leases = "/v1/leases?store=local&path=homelab/site/main";
    events.administers("admin", "DELETE", leases, &Value::Null, 204, None);
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
        events.administers("build", method, target, body, 403, denied);
        let answer = events.server.send(method, target, &[("Authorization", "Bearer x.y.z"), JSON], b"");
        events.expect_event(&answer, 401, Some(("authn.failed", "denied", Some("malformed_token"))));
    }
}

fn reads_leave_no_event(events: &mut ExpectedEvents) {
    let described = json!({"caller": {"issuer": "ci", "subject": "x", "claims": {"role": "build"}}, "repo": "site", "branch": "main"});
    events.administers("admin", "POST", "/v1/decisions", &described, 200, None);
    for target in [
        "/v1/policies",
        "/v1/policies/made",
        "/v1/policies/made/revisions",
        "/v1/audit",
        "/v1/audit/verify",
        "/v1/tickets",
        "/v1/leases",
    ] {
        events.administers("admin", "GET", target, &Value::Null, 200, None);
    }
    events.administers(
        "admin",
        "POST",
        "/v1/policies?dryRun=true",
        &json!({"name": "tried", "spec": spec()}),
        201,
        None,
    );
    events.administers("admin", "DELETE", "/v1/policies/made?dryRun=true", &Value::Null, 204, None);
    events.administers("admin", "GET", "/v1/policies/nobody", &Value::Null, 404, None);
    let answer = events.server.send("GET", "/nowhere", &[], b"");
    events.expect_event(&answer, 404, None);
}
