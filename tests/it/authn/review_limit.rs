//! How many tokens a real API server reviews, and in which order.

use crate::rig::claviger::{Claviger, write_policies};
use crate::rig::http::Answer;
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::model::request_id::RequestId;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const REVIEWS: u64 = 10;
const FAILURES: &str = "5";

fn serve(kube: &Kube) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secrets.yaml"), r#"{"homelab/site/main": {"TOKEN": "s3cret"}}"#).unwrap();
    let spec = json!({
        "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
        "repos": ["site"], "branches": ["main"], "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}"}],
    });
    write_policies(&folder.path().join("policies"), &[("site", spec)]);
    let config = json!({
        "server": {"trustedProxies": ["127.0.0.0/8"]},
        "authenticators": [{"name": "cluster", "kubernetes": {
            "kubeconfig": kube.plane.kubeconfig(User::Broker), "cacheTtl": "0s"}}],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "policies": {"directory": "policies"},
        "tickets": {"maxLivePerPod": 100_000},
    });
    let (reviews, failures) = ("CLAVIGER__LIMITS__REVIEWSPERSECOND", "CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS");
    Claviger::serve_with(folder, config, &[(reviews, &REVIEWS.to_string()), (failures, FAILURES)])
}

fn ask_from(claviger: &Claviger, address: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Forwarded-For", address),
    ];
    claviger.send("POST", "/v1/tickets", &headers, b"repo=site&branch=main")
}

/// The claims of a valid token with a signature that the API server did not make.
fn forged(token: &str) -> String {
    let (message, _) = token.rsplit_once('.').unwrap();
    let noise = [RequestId::random().to_string(), "x".repeat(230)].concat();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(noise))
}

fn reviews(claviger: &Claviger) -> u64 {
    claviger.count("claviger_token_review_duration_seconds_count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_of_forged_tokens_are_limited_and_known_tokens_have_priority() {
    let kube = Kube::start().await;
    let (known, sample) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let claviger = serve(&kube);
    assert_eq!(ask_from(&claviger, "192.0.2.1", &known.token).status, 201);
    let (over, number) = (AtomicBool::new(false), AtomicU32::new(0));
    let (before, started) = (reviews(&claviger), Instant::now());
    let mut asked = 0;
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let n = number.fetch_add(1, Ordering::Relaxed);
                    let address = format!("198.{}.{}.1", n >> 8 & 255, n & 255);
                    let answer = ask_from(&claviger, &address, &forged(&sample.token));
                    assert!(matches!(answer.status, 401 | 503), "{answer:?}");
                }
            });
        }
        while started.elapsed() < Duration::from_secs(4) {
            let sent = Instant::now();
            assert_eq!(ask_from(&claviger, "192.0.2.1", &known.token).status, 201);
            assert!(sent.elapsed() < Duration::from_secs(2), "it waited {:?}", sent.elapsed());
            asked += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
    });
    let made = reviews(&claviger) - before - asked;
    let seconds = started.elapsed().as_secs() + 1;
    assert!(made <= REVIEWS * seconds, "{made} reviews of forged tokens in {seconds} s");
    assert!(made >= REVIEWS * 2, "some forged tokens are reviewed: {made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valid_tokens_of_an_address_over_its_failure_limit_are_still_reviewed() {
    let kube = Kube::start().await;
    let (sample, elsewhere) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let claviger = serve(&kube);
    let statuses: Vec<u16> = (0..30).map(|_| ask_from(&claviger, "192.0.2.1", &forged(&sample.token)).status).collect();
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    let over = AtomicBool::new(false);
    let mut pods = Vec::new();
    for _ in 0..6 {
        pods.push(kube.pod("ci/build-bot").await);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let answer = ask_from(&claviger, "192.0.2.1", &forged(&sample.token));
                assert!(matches!(answer.status, 401 | 429), "{answer:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // Few calls at a time are allowed: a pod may have to repeat its request, as `curl --retry` does.
        let answered: Vec<u16> = pods
            .iter()
            .map(|pod| {
                let mut status = 429;
                for _ in 0..20 {
                    status = ask_from(&claviger, "192.0.2.1", &pod.token).status;
                    if status != 429 {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
                status
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(answered, [201; 6]);
    });
    assert_eq!(ask_from(&claviger, "192.0.2.2", &elsewhere.token).status, 201, "another address is not delayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_tokens_cause_no_review_and_delay_no_other_pod() {
    let kube = Kube::start().await;
    let claviger = serve(&kube);
    let mut pods = Vec::new();
    for _ in 0..10 {
        pods.push(kube.pod("ci/build-bot").await);
    }
    let sample = kube.pod("ci/build-bot").await;
    let elsewhere = sample.token_for("vault").await;
    let before = reviews(&claviger);
    for pod in &pods {
        for garbage in ["garbage", "a.b.c", elsewhere.as_str()] {
            let answer = ask_from(&claviger, "192.0.2.1", garbage);
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{answer:?}");
        }
        assert_eq!(ask_from(&claviger, "192.0.2.1", &pod.token).status, 201);
    }
    assert_eq!(reviews(&claviger) - before, 10, "one for each pod");
    // The address has its own limit.
    let limited = (0..300).filter(|_| ask_from(&claviger, "192.0.2.1", "garbage").status == 429).count();
    assert!(limited > 100, "{limited} of 300");
    assert_eq!(
        ask_from(&claviger, "192.0.2.1", &sample.token).status,
        201,
        "valid tokens of that address are not delayed"
    );
}
