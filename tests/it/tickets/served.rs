//! Redemption, repetition and revocation over HTTP, on replicas with one PostgreSQL; and the effects of an
//! unavailable database.

use crate::rig::claviger::{download_path, events_of_type, wait_until};
use crate::rig::http::{Answer, request};
use crate::rig::keep_alive::Client;
use crate::rig::oidc::{TestServer, TokenIssuer, allow};
use crate::rig::postgres::{Postgres, postgres};
use crate::rig::replicas::{Replicas, new_database};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn secrets() -> Value {
    json!({"homelab/site/main": {"TOKEN": "s3cret", "URL": "https://x"}})
}

fn replicas_with(count: usize, policy: &Value, extra: &Value) -> Replicas {
    let policies = [("site", allow(&["homelab/{repo}/{branch}"], policy))];
    Replicas::start(count, &new_database(postgres()), &secrets(), &policies, extra)
}

fn problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn post_ticket(token: &str) -> String {
    let body = "repo=site&branch=main";
    format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_ticket_of_any_replica_is_redeemed_once_on_any_replica() {
    let replicas = replicas_with(2, &json!({}), &json!({}));
    let (path, ticket) = replicas.ticket(0);
    assert_eq!(
        replicas.get(1).download(&path).text(),
        "export TOKEN='s3cret'\nexport URL='https://x'\n# claviger: 2 keys\n"
    );
    for number in 0..2 {
        let again = replicas.get(number).download(&path);
        problem(&again, 410, "ticket_redeemed");
        assert!(again.json()["redeemedAt"].is_string());
    }
    let events = replicas.events();
    assert_eq!(events_of_type(&events, "ticket.redeemed")[0]["ticketId"], ticket.as_str());
    assert_eq!(events_of_type(&events, "ticket.redeemed").len(), 1);
    for number in 0..2 {
        assert_eq!(replicas.get(number).count("claviger_tickets_outstanding"), 0);
    }
}

#[test]
fn a_ticket_expires_once_whichever_replicas_watch() {
    let replicas = replicas_with(3, &json!({"ticket": {"ttl": "1s"}}), &json!({}));
    let paths: Vec<String> = (0..20).map(|number| replicas.ticket(number).0).collect();
    wait_until("all tickets to expire", || events_of_type(&replicas.events(), "ticket.expired").len() >= paths.len());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(events_of_type(&replicas.events(), "ticket.expired").len(), paths.len());
    for path in &paths {
        problem(&replicas.get(1).download(path), 410, "ticket_expired");
    }
}

#[test]
fn live_tickets_of_a_pod_are_counted_on_all_replicas_together() {
    let replicas = replicas_with(3, &json!({}), &json!({"tickets": {"maxLivePerPod": 10}}));
    let token = replicas.token();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asks = (0..45).map(|number| {
            let (replicas, token) = (&replicas, &token);
            scope.spawn(move || replicas.get(number).ask(token, "repo=site&branch=main").status)
        });
        asks.collect::<Vec<_>>().into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 35, "{statuses:?}");
    assert_eq!(
        replicas.get(0).ask(&replicas.token(), "repo=site&branch=main").status,
        201,
        "another caller is not limited"
    );
}

fn bound_to_an_identity(
    ask: impl Fn(&str) -> String,
    download: impl Fn(&str, Option<&str>) -> Answer,
    issuer: &TokenIssuer,
) {
    let mine = issuer.token(&json!({"jti": "mine"}));
    let same_account = issuer.token(&json!({"jti": "other"}));
    let path = ask(&mine);
    // Without a valid token: 401, and the ticket stays valid.
    let unsigned = format!("{}x", &mine[..mine.len() - 1]);
    for bearer in [None, Some("x.y.z"), Some(unsigned.as_str())] {
        let refused = download(&path, bearer);
        problem(&refused, 401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate").as_deref(), Some("Bearer"));
    }
    assert_eq!(download(&path, Some(&mine)).status, 200);
    problem(&download(&path, Some(&mine)), 410, "ticket_redeemed");
    // The same subject from another pod: the ticket is revoked.
    let path = ask(&mine);
    problem(&download(&path, Some(&same_account)), 403, "ticket_misuse");
    problem(&download(&path, Some(&mine)), 410, "ticket_revoked");
    // A request without the key never revokes the ticket.
    let path = ask(&mine);
    let wrong = format!("{}.{}", path.split_once('.').unwrap().0, "A".repeat(43));
    problem(&download(&wrong, Some(&same_account)), 404, "ticket_unknown");
    assert_eq!(download(&path, Some(&mine)).status, 200);
}

fn bearer_headers(bearer: Option<&str>) -> Vec<(&'static str, String)> {
    bearer.iter().map(|bearer| ("Authorization", format!("Bearer {bearer}"))).collect()
}

#[test]
fn a_ticket_bound_to_an_identity_is_redeemed_by_that_identity_only() {
    let policy = json!({"ticket": {"bindTo": "identity"}});
    let replicas = replicas_with(2, &policy, &json!({}));
    let ask = |token: &str| download_path(&replicas.get(0).ask(token, "repo=site&branch=main"));
    let download = |path: &str, bearer: Option<&str>| {
        let headers = bearer_headers(bearer);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        replicas.get(1).send("GET", path, &headers, b"")
    };
    bound_to_an_identity(ask, download, &replicas.issuer);
    let events = replicas.events();
    assert_eq!(events.iter().filter(|event| event["reason"] == "misuse").count(), 1);
    assert_eq!(replicas.get(1).count(r#"claviger_ticket_redemptions_total{outcome="misuse"}"#), 1);

    // The server's default, tickets in memory: an identity counts from any address.
    let database_server =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let config = json!({"server": database_server, "tickets": {"bindTo": "identity", "maxLivePerPod": 1000}});
    let server =
        TestServer::start(&secrets(), &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))], &config, &[]);
    let ask = |token: &str| download_path(&server.ask(token, "repo=site&branch=main"));
    let download = |path: &str, bearer: Option<&str>| {
        let mut headers = bearer_headers(bearer);
        headers.push(("X-Forwarded-For", "203.0.113.77".into()));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.send("GET", path, &headers, b"")
    };
    bound_to_an_identity(ask, download, &server.issuer);
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="misuse"}"#), 1);
}

fn repeatable(get: impl Fn(&str, Option<&str>) -> Answer, path: impl Fn() -> String) {
    let first = path();
    let bytes = get(&first, Some("k1"));
    assert_eq!(bytes.status, 200, "{bytes:?}");
    for _ in 0..2 {
        let again = get(&first, Some("k1"));
        assert_eq!((again.status, &again.body), (200, &bytes.body));
        for header in ["repr-digest", "x-claviger-versions", "content-type", "cache-control"] {
            assert_eq!(again.header(header), bytes.header(header));
        }
    }
    problem(&get(&first, Some("k2")), 410, "ticket_redeemed");
    problem(&get(&first, None), 410, "ticket_redeemed");
    assert_eq!(get(&first, Some("k1")).status, 200, "a request with another key changes nothing");
    // Only if the first redemption had an idempotency key.
    let plain = path();
    assert_eq!(get(&plain, None).status, 200);
    problem(&get(&plain, Some("k1")), 410, "ticket_redeemed");
    // A bundle that cannot be kept is refused, and the ticket is not consumed.
    let kept = path();
    for bad in ["", "a b", &"x".repeat(256)] {
        problem(&get(&kept, Some(bad)), 400, "invalid_request");
    }
    assert_eq!(get(&kept, Some(&"x".repeat(255))).status, 200);
    // The key of another ticket is a different key.
    let other = path();
    assert_eq!(get(&other, None).status, 200);
    problem(&get(&other, Some("k1")), 410, "ticket_redeemed");
}

fn with_key(key: Option<&str>) -> Vec<(&'static str, &str)> {
    key.iter().map(|key| ("Idempotency-Key", *key)).collect()
}

#[test]
fn the_same_redeemer_may_repeat_a_lost_download_on_any_replica() {
    let replicas = replicas_with(2, &json!({}), &json!({}));
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let next = || turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let get = |path: &str, key: Option<&str>| replicas.get(next()).send("GET", path, &with_key(key), b"");
    repeatable(get, || replicas.ticket(next()).0);
    let events = replicas.events();
    let redeemed = events_of_type(&events, "ticket.redeemed");
    let replays: Vec<&&Value> = redeemed.iter().filter(|event| event["reason"] == "replay").collect();
    assert_eq!((redeemed.len() - replays.len(), replays.len()), (4, 3));
    assert_eq!(replays[0]["outcome"], "ok");
    let replayed = |number| replicas.get(number).count(r#"claviger_ticket_redemptions_total{outcome="replayed"}"#);
    assert_eq!(replayed(0) + replayed(1), 3);
}

#[test]
fn a_lost_download_may_be_repeated_in_memory_and_a_drain_does_not_wait_for_it() {
    let mut server = TestServer::with_one_secret();
    repeatable(|path, key| server.send("GET", path, &with_key(key), b""), || server.new_download_path());
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="replayed"}"#), 3);
    assert_eq!(server.count("claviger_tickets_outstanding"), 0);
    server.signal("TERM");
    assert!(server.wait(SOON).success());
}

#[test]
fn administrators_list_and_revoke_waiting_tickets_on_any_replica() {
    let replicas = replicas_with(2, &json!({}), &json!({}));
    let tickets: Vec<(String, String)> = (0..5).map(|number| replicas.ticket(number)).collect();
    let page = replicas.send_as_admin(1, "GET", "/v1/tickets?limit=3");
    assert_eq!((page.status, page.header("cache-control").as_deref()), (200, Some("private, no-cache")), "{page:?}");
    let next = page.json()["continue"].as_str().unwrap().to_owned();
    let rest = replicas.send_as_admin(0, "GET", &format!("/v1/tickets?limit=3&continue={next}")).json();
    assert!(rest.get("continue").is_none());
    let listed: Vec<Value> =
        [page.json(), rest].iter().flat_map(|page| page["items"].as_array().unwrap().clone()).collect();
    let newest_first: Vec<&str> = tickets.iter().rev().map(|(_, id)| id.as_str()).collect();
    assert_eq!(listed.iter().map(|ticket| ticket["ticketId"].as_str().unwrap()).collect::<Vec<_>>(), newest_first);
    let first = &listed[0];
    let mut keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["branch", "caller", "expiresAt", "issuedAt", "keys", "policies", "repo", "ticketId"]);
    assert_eq!(
        (&first["repo"], &first["branch"], &first["policies"]),
        (&json!("site"), &json!("main"), &json!(["site"]))
    );
    assert_eq!(first["keys"], json!(["TOKEN", "URL"]));
    let caller = json!({"issuer": "ci", "subject": "build-1", "namespace": null, "serviceAccount": null, "pod": null});
    assert_eq!(first["caller"], caller);

    let (path, id) = &tickets[0];
    let target = format!("/v1/tickets/{id}");
    // Neither a build nor an unknown caller may.
    let build = format!("Bearer {}", replicas.token());
    for (method, target) in [("GET", "/v1/tickets"), ("DELETE", target.as_str())] {
        problem(&replicas.get(0).send(method, target, &[("Authorization", &build)], b""), 403, "denied");
        problem(&replicas.get(0).send(method, target, &[], b""), 401, "unauthenticated");
    }
    let denied = replicas.events().into_iter().filter(|event| event["type"] == "admin.denied").collect::<Vec<_>>();
    assert_eq!((denied.len(), denied[1]["ticketId"].as_str()), (2, Some(id.as_str())));
    assert_eq!(replicas.send_as_admin(0, "DELETE", &target).status, 204);
    problem(&replicas.get(1).download(path), 410, "ticket_revoked");
    for gone in [&target, "/v1/tickets/AAAAAAAAAAAAAAAAAAAAAA", "/v1/tickets/x", "/v1/tickets/..%2f"] {
        problem(&replicas.send_as_admin(1, "DELETE", gone), 404, "not_found");
    }
    assert_eq!(replicas.get(1).download(&tickets[1].0).status, 200, "another ticket is not revoked");
    problem(&replicas.send_as_admin(1, "DELETE", &format!("/v1/tickets/{}", tickets[1].1)), 404, "not_found");
    let events = replicas.events();
    let revoked = events_of_type(&events, "ticket.revoked");
    assert_eq!((revoked.len(), revoked[0]["ticketId"].as_str()), (1, Some(id.as_str())));
    assert_eq!((&revoked[0]["outcome"], &revoked[0]["repo"]), (&json!("ok"), &json!("site")));
    assert_eq!(replicas.send_as_admin(0, "GET", "/v1/tickets").json()["items"].as_array().unwrap().len(), 3);
    for (method, target) in [("PUT", "/v1/tickets"), ("GET", target.as_str()), ("POST", target.as_str())] {
        assert_eq!(replicas.send_as_admin(0, method, target).status, 405, "{method} {target}");
    }
    for query in ["limit=0", "x=1", "continue=!", "continue=eA"] {
        problem(&replicas.send_as_admin(0, "GET", &format!("/v1/tickets?{query}")), 400, "invalid_request");
    }
}

#[test]
fn a_drain_does_not_wait_for_what_others_redeem() {
    let replicas = replicas_with(2, &json!({}), &json!({}));
    let (path, _) = replicas.ticket(0);
    replicas.rolling_restart(0);
    assert_eq!(replicas.get(1).download(&path).status, 200);
}

#[test]
fn while_the_database_is_away_nothing_is_consumed_and_no_replica_is_ready() {
    let mut database_server = Postgres::start(&[]).unwrap();
    let policies = [("site", allow(&["homelab/{repo}/{branch}"], &json!({})))];
    let replicas = Replicas::start(1, &new_database(&database_server), &secrets(), &policies, &json!({}));
    let (path, _) = replicas.ticket(0);
    let ready = || request(replicas.get(0).ops, "GET", "/readyz", &[], b"").status == 200;
    assert!(ready());
    database_server.stop();
    // It may take as long as two waits for a connection.
    let token = replicas.token();
    for request in [get(&path), post_ticket(&token)] {
        let (status, body) = Client::new(replicas.get(0).api).unwrap().exchange(&request).unwrap();
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("audit_unavailable"), "{body}");
    }
    wait_until("the replica to be unready", || !ready());
    database_server.start_again();
    wait_until("the replica to be ready", ready);
    assert_eq!(replicas.get(0).download(&path).status, 200);
    problem(&replicas.get(0).download(&path), 410, "ticket_redeemed");
}
