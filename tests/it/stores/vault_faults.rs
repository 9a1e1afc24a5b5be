//! Servers that are broken, slow or lying: each is unavailable, never absent, and the cache bridges it.

use super::fake::{Act, Fake, json};
use super::{NO_CACHE, Rig, one};
use crate::rig::bao::until;
use claviger::config::stores::{Cache, VaultAuth};
use claviger::stores::ReadError::{self, Unavailable};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MOUNT: &str = r#"{"data":{"path":"homelab/","type":"kv","options":{"version":"2"}}}"#;
const SECRET: &str = r#"{"data":{"data":{"K":"v"},"metadata":{"version":1}}}"#;
const OWN_TOKEN: &str = r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#;

/// What a good server says.
fn good(request_line: &str) -> Act {
    match request_line.split(' ').nth(1).unwrap() {
        path if path.starts_with("/v1/sys/internal/ui/mounts/") => json(MOUNT),
        path if path.starts_with("/v1/homelab/data/") => json(SECRET),
        "/v1/auth/token/lookup-self" => json(OWN_TOKEN),
        path => panic!("nobody should ask for {path}"),
    }
}

/// Every way in which an answer can be no answer.
fn faults(elsewhere: &str) -> Vec<(&'static str, Act)> {
    let location = |status| {
        let body = format!("<a href=\"{elsewhere}\">moved</a>");
        let header = Box::leak(format!("Location: {elsewhere}/v1/homelab/data/a\r\n").into_boxed_str());
        Act::Answer(status, header, body)
    };
    let status = |status, body: &str| Act::Answer(status, "", body.into());
    let deep = format!("{{\"data\":{{\"data\":{{\"K\":{}{}}}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        ("moved for good", location("301 Moved Permanently")),
        ("moved for now", location("307 Temporary Redirect")),
        ("html", Act::Answer("200 OK", "Content-Type: text/html\r\n", "<html>hello</html>".into())),
        ("html not found", Act::Answer("404 Not Found", "Content-Type: text/html\r\n", "<html></html>".into())),
        ("an empty 404", status("404 Not Found", "")),
        ("no body", json("")),
        ("broken json", json(&SECRET[..SECRET.len() - 1])),
        ("json and more", json(&format!("{SECRET}{SECRET}"))),
        ("data null", json(r#"{"data":null}"#)),
        ("data.data null", json(r#"{"data":{"data":null,"metadata":{"version":1}}}"#)),
        ("a list", json("[]")),
        ("a lone surrogate", json(r#"{"data":{"data":{"K":"\ud800"},"path":"\ud800"}}"#)),
        ("a key twice", json(r#"{"data":{"data":{"K":1,"K":1}},"data":{}}"#)),
        ("deep json", json(&deep)),
        ("no utf-8", Act::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{\"\xff\"")),
        ("endless", Act::Endless),
        ("announced as huge", Act::Huge),
        ("too slow", Act::Trickle),
        ("silent", Act::Silence),
        ("hung up", Act::HangUp),
        ("no http", Act::Raw(b"SSH-2.0-OpenSSH_9.6\r\n")),
        ("cut short", Act::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"data\":")),
        ("overloaded", status("429 Too Many Requests", r#"{"errors":[]}"#)),
        ("broken", status("500 Internal Server Error", r#"{"errors":[]}"#)),
        ("a bad gateway", status("502 Bad Gateway", "<html></html>")),
        ("a lagging replica", status("412 Precondition Failed", r#"{"errors":[]}"#)),
    ]
}

fn impatient(address: &str, cache: Cache) -> Rig {
    Rig::new(address, "s.token", cache, |vault| vault.timeout = Duration::from_millis(400))
}

#[tokio::test]
async fn the_fake_can_behave() {
    let fake = Fake::start(good).await;
    assert_eq!(impatient(&fake.address, NO_CACHE).read("homelab/a").await, one("K", "v"));
}

#[tokio::test]
async fn every_broken_answer_to_a_read_is_unavailable_and_bridged() {
    let elsewhere = Fake::start(good).await;
    let cache = Cache { ttl: Duration::ZERO, serve_stale_for: Duration::from_mins(10), max_entries: 10, ..NO_CACHE };
    for (name, act) in faults(&elsewhere.address) {
        let broken = Arc::new(AtomicBool::new(false));
        let switch = broken.clone();
        let fake = Fake::start(move |line| {
            if line.contains("/data/") && switch.load(Ordering::SeqCst) { act.clone() } else { good(line) }
        })
        .await;
        let rig = impatient(&fake.address, cache);
        assert_eq!(rig.read("homelab/a").await, one("K", "v"), "{name}");
        broken.store(true, Ordering::SeqCst);
        let began = Instant::now();
        assert_eq!(rig.read("homelab/b").await, Err(Unavailable), "{name}");
        assert!(began.elapsed() < Duration::from_secs(3), "{name} held a request for {:?}", began.elapsed());
        assert!(rig.lease("homelab/a").await.is_ok_and(|lease| lease.stale), "{name}");
    }
    assert_eq!(elsewhere.requests(), 0, "no redirect is followed");
}

#[tokio::test]
async fn every_broken_answer_to_a_preflight_is_unavailable() {
    let elsewhere = Fake::start(good).await;
    for (name, act) in faults(&elsewhere.address) {
        let fake = Fake::start(move |line| if line.contains("/mounts/") { act.clone() } else { good(line) }).await;
        let rig = impatient(&fake.address, NO_CACHE);
        assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "{name}");
    }
    assert_eq!(elsewhere.requests(), 0, "no redirect is followed");
}

#[tokio::test]
async fn a_mount_elsewhere_than_the_path_is_not_read() {
    for path in ["sys/", "auth/token/", "other/", "", "homelab/a/b/"] {
        let mount = MOUNT.replace("homelab/", path);
        let fake = Fake::start(move |line| if line.contains("/mounts/") { json(&mount) } else { good(line) }).await;
        assert_eq!(impatient(&fake.address, NO_CACHE).read("homelab/a").await, Err(Unavailable), "{path}");
    }
}

#[tokio::test]
async fn every_broken_answer_to_a_login_is_unavailable() {
    let elsewhere = Fake::start(good).await;
    let mut acts = faults(&elsewhere.address);
    acts.retain(|(name, _)| !name.contains("404") && !name.contains("not found"));
    for duration in ["0", "-1", "2147483648", "1.5", "\"x\"", "null"] {
        let body = format!(r#"{{"auth":{{"client_token":"s.x","lease_duration":{duration}}}}}"#);
        acts.push(("a senseless duration", json(&body)));
    }
    acts.push(("no duration", json(r#"{"auth":{"client_token":"s.x"}}"#)));
    acts.push(("no token", json(r#"{"auth":{"client_token":"","lease_duration":60}}"#)));
    acts.push(("a token with a line end", json(r#"{"auth":{"client_token":"a\r\nX: y","lease_duration":60}}"#)));
    for (name, act) in acts {
        let fake = Fake::start(move |line| if line.contains("/login") { act.clone() } else { good(line) }).await;
        assert_eq!(logging_in(&fake.address).read("homelab/a").await, Err(Unavailable), "{name}");
    }
    let granted = json(r#"{"auth":{"client_token":"s.x","lease_duration":60,"renewable":true}}"#);
    let fake = Fake::start(move |line| if line.contains("/login") { granted.clone() } else { good(line) }).await;
    assert_eq!(logging_in(&fake.address).read("homelab/a").await, one("K", "v"));
}

/// A store that logs in as a Kubernetes ServiceAccount.
fn logging_in(address: &str) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "a.b.c").unwrap();
    let auth = VaultAuth::Kubernetes { mount: "kubernetes".into(), role: "claviger".into(), token_file };
    Rig::open(dir, address, auth, NO_CACHE, |vault| vault.timeout = Duration::from_millis(400))
}

#[tokio::test]
async fn a_failed_login_is_not_repeated_for_everyone_who_waits() {
    let fake = Fake::start(|_| Act::Answer("503 Service Unavailable", "", String::new())).await;
    let rig = Arc::new(logging_in(&fake.address));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..200 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read(&format!("homelab/{number}")).await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == Err(Unavailable)));
    assert!(fake.requests() <= 3, "{} logins", fake.requests());
}

#[tokio::test]
async fn a_token_that_is_renewed_for_less_and_less_is_replaced() {
    let auth = |duration| {
        let body = format!(r#"{{"auth":{{"client_token":"s.x","lease_duration":{duration},"renewable":true}}}}"#);
        json(&body)
    };
    let (granted, renewed) = (auth(3), auth(1));
    let fake = Fake::start(move |line| match line {
        line if line.contains("/login") => granted.clone(),
        line if line.contains("/renew-self") => renewed.clone(),
        line => good(line),
    })
    .await;
    let rig = logging_in(&fake.address);
    until("another login", async || rig.calls("login", "ok") > 1).await;
    assert_eq!(rig.calls("renew", "ok"), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable() {
    let gone = Fake::start(good).await.address.clone();
    assert_eq!(impatient(&gone, NO_CACHE).read("homelab/a").await, Err(ReadError::Unavailable));
}

#[tokio::test]
async fn the_tasks_end_with_the_stores() {
    let fake = Fake::start(good).await;
    let Rig { stores, metrics, dir: _dir } = impatient(&fake.address, NO_CACHE);
    until("the first round of the upkeep", async || fake.requests() > 0).await;
    assert!(Arc::strong_count(&metrics) > 1, "whatever runs holds the counters");
    drop(stores);
    until("every task to end", async || Arc::strong_count(&metrics) == 1).await;
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_call_is_logged_without_its_path_its_token_or_its_answer() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    // With a single subscriber alive, tracing would ask whichever thread comes first whether it listens at all.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let (soon, late) = (Duration::from_millis(200), Duration::from_secs(10));
    for (act, timeout) in [
        (json(r#"{"data":{"canary-answer":1}}"#), late),
        (Act::HangUp, late),
        (Act::Endless, late),
        (Act::Huge, late),
        (Act::Silence, soon),
    ] {
        let fake = Fake::start(move |line| if line.contains("/data/") { act.clone() } else { good(line) }).await;
        let rig = Rig::new(&fake.address, "s.canary-token", NO_CACHE, |vault| vault.timeout = timeout);
        assert_eq!(rig.read("homelab/canary-path").await, Err(Unavailable));
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let logged = |kind: &str| text.matches(&format!("kind=\"{kind}\"")).count();
    assert_eq!(["decode", "broken", "body_too_large", "timeout"].map(logged), [1, 1, 2, 1], "{text}");
    assert!(!text.contains("canary"), "{text}");
}
