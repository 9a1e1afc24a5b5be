//! Failures of a store, a server or a network: mounts fail in time, and with a status that kubelet treats as final.

use super::{Provider, assert_refused, attributes_of};
use crate::fetch::fake::{BUNDLE, Fake, TICKET, answer, bundle, problem};
use crate::rig::bao::until;
use crate::rig::installation::InstallationSetup;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::wire::problem::Code as Word;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::Code;

const UID: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// Kubelet keeps the folder of the volume after these codes.
const NOT_FINAL: [Code; 5] =
    [Code::Unavailable, Code::ResourceExhausted, Code::Aborted, Code::Cancelled, Code::DeadlineExceeded];

/// The attributes of a pod that a fake server does not check.
#[expect(clippy::needless_pass_by_value, reason = "the callers write it out")]
fn attributes_for(parameters: Value) -> Value {
    let claims = json!({"kubernetes.io": {"pod": {"name": "build", "uid": UID}}});
    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    attributes_of(UID, &token, &parameters)
}

fn one_file() -> Value {
    attributes_for(json!({"repo": "site", "branch": "main", "file": "env"}))
}

#[tokio::test]
async fn a_store_that_is_down_is_a_final_refusal_and_no_empty_volume() {
    let mut setup = InstallationSetup::new().await;
    setup.cache(json!({"ttl": "1s", "negativeTtl": "1s", "serveStaleFor": "1s"}));
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start_with(&format!("http://{}", rig.claviger.api), &["--timeout", "2s"]);
    let main = || json!({"repo": "site", "branch": "main"});
    assert!(provider.mount_for(&pod, main()).await.is_ok());
    rig.bao.seal().await;
    let refusal = async || provider.mount_for(&pod, main()).await.err();
    until("the cache to be empty", async || refusal().await.is_some()).await;
    assert_refused(provider.mount_for(&pod, main()).await, Code::FailedPrecondition, "store_unavailable");
}

#[tokio::test]
async fn a_server_that_is_down_is_a_final_refusal_until_it_is_back() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = Provider::start_with(&format!("http://{address}"), &["--timeout", "3s"]);
    let refusal = provider.mount(&one_file(), &json!({})).await;
    assert!(refusal.as_ref().unwrap_err().message().contains("tried again"), "{refusal:?}");
    assert_refused(refusal, Code::FailedPrecondition, "server_unreachable");
    assert!(provider.log().contains("the connection is refused"), "{}", provider.log());

    let mut setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    setup.config["server"] = json!({"listen": address.to_string(), "opsListen": "127.0.0.1:0"});
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    assert!(provider.mount_for(&pod, json!({"repo": "site", "branch": "main"})).await.is_ok());
}

#[tokio::test]
async fn a_server_that_hangs_ends_within_the_time_limit() {
    for hangs_at in ["POST ", "GET "] {
        let fake = Fake::start(move |fake, request, _| (!request.starts_with(hangs_at)).then(|| fake.ticket()));
        let provider = Provider::start_with(&fake.url(), &["--timeout", "3s"]);
        let started = Instant::now();
        assert_refused(provider.mount(&one_file(), &json!({})).await, Code::FailedPrecondition, "server_unreachable");
        let took = started.elapsed();
        assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{hangs_at}: {took:?}");
    }
}

#[tokio::test]
async fn no_answer_of_a_server_becomes_a_status_that_is_not_final() {
    let now: Arc<Mutex<Vec<u8>>> = Arc::default();
    let answers = now.clone();
    let fake = Fake::start(move |fake, request, _| {
        let is_asking = request.starts_with("POST ");
        let answer = answers.lock().unwrap().clone();
        // In the first half the ticket request fails, in the second half the redemption.
        Some(if is_asking == answer.starts_with(b"P") { answer[1..].to_vec() } else { fake.ticket() })
    });
    let provider = Provider::start_with(&fake.url(), &["--timeout", "2s"]);
    let mut answers: Vec<(Vec<u8>, Code)> =
        [Word::Denied, Word::SecretNotFound, Word::InvalidBranch, Word::Unrenderable]
            .iter()
            .chain(&[Word::TicketRedeemed, Word::TicketMisuse, Word::StoreForbidden, Word::Internal, Word::NotFound])
            .chain(&[Word::StoreUnavailable, Word::RateLimited, Word::Unauthenticated])
            .map(|code| {
                let grpc = match code {
                    Word::Unauthenticated => Code::Unauthenticated,
                    Word::Denied | Word::TicketMisuse => Code::PermissionDenied,
                    Word::SecretNotFound => Code::NotFound,
                    Word::InvalidBranch | Word::Unrenderable => Code::InvalidArgument,
                    Word::Internal | Word::NotFound => Code::Internal,
                    _ => Code::FailedPrecondition,
                };
                (problem(code.status(), code.as_str(), &[("Retry-After", "5")]), grpc)
            })
            .collect();
    for strange in [
        answer(301, &[("Location", "http://127.0.0.1:1/")], ""),
        answer(404, &[("Content-Type", "text/html")], "<html>"),
        answer(200, &[("Content-Type", "text/html")], "<html>"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
        Vec::new(),
    ] {
        answers.push((strange, Code::FailedPrecondition));
    }
    for (answer, status) in answers {
        for when in [b'P', b'G'] {
            *now.lock().unwrap() = [&[when], &answer[..]].concat();
            let outcome = provider.mount(&one_file(), &json!({})).await;
            let refusal = outcome.expect_err("refused");
            let told = String::from_utf8_lossy(&answer).into_owned();
            assert!(!NOT_FINAL.contains(&refusal.code()), "{refusal:?}: {told}");
            assert_eq!(refusal.code(), status, "{refusal:?}: {told}");
            assert!(!refusal.message().contains("hunter2"), "{refusal:?}");
        }
    }
    assert!(!provider.log().contains(TICKET), "{}", provider.log());
}

#[tokio::test]
async fn a_ticket_whose_answer_was_lost_is_no_fault_of_the_server_and_the_next_mount_has_its_own() {
    let fake = Fake::start(|fake, request, before| {
        Some(match (request.starts_with("POST "), before) {
            (true, _) => fake.ticket(),
            // The answer is truncated, and another replica then answers that the ticket is gone.
            (false, 0) => bundle(&[], BUNDLE).split_last_chunk::<5>().unwrap().0.to_vec(),
            (false, 1) => problem(410, "ticket_redeemed", &[]),
            (false, _) => bundle(&[], BUNDLE),
        })
    });
    let provider = Provider::start(&fake.url());
    let refusal = provider.mount(&one_file(), &json!({})).await;
    assert!(refusal.as_ref().unwrap_err().message().contains("tried again"), "{refusal:?}");
    assert_refused(refusal, Code::FailedPrecondition, "ticket_lost");
    assert!(provider.mount(&one_file(), &json!({})).await.is_ok());
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn a_bundle_that_the_driver_would_not_receive_is_not_redeemed() {
    let with_sizes = |size: usize| {
        move |fake: &Fake, request: &str, _: usize| {
            let body =
                json!({"ticketId": "x", "url": fake.ticket_url(), "keys": ["A", "B"], "sizes": {"A": size, "B": 1}});
            let ticket = answer(201, &[("Content-Type", "application/json")], &body.to_string());
            Some(if request.starts_with("POST ") { ticket } else { bundle(&[], BUNDLE) })
        }
    };
    let fake = Fake::start(with_sizes(3 << 20));
    let provider = Provider::start(&fake.url());
    assert_refused(provider.mount(&one_file(), &json!({})).await, Code::FailedPrecondition, "bundle_too_large");
    assert_eq!((fake.asked(), fake.redemptions().len()), (1, 0));

    let fake = Fake::start(with_sizes((3 << 20) - 1));
    let provider = Provider::start(&fake.url());
    let mounted = provider.mount(&one_file(), &json!({})).await.unwrap();
    assert_eq!(mounted.texts(), [("env", 0o444, BUNDLE)]);
    assert_eq!(mounted.object_version[0].version, "unknown", "an older server reports no versions");
    let [redemption] = &fake.redemptions()[..] else { panic!() };
    assert!(redemption.contains("idempotency-key: "), "{redemption}");

    // A server that reports no sizes: the ticket is redeemed, and the bundle is refused afterwards.
    let large = format!("export A='{}'\nexport B='two'\n# claviger: 2 keys\n", "x".repeat(3 << 20));
    let fake = Fake::start(move |fake, request, _| {
        Some(if request.starts_with("POST ") { fake.ticket() } else { bundle(&[], &large) })
    });
    let provider = Provider::start(&fake.url());
    assert_refused(provider.mount(&one_file(), &json!({})).await, Code::FailedPrecondition, "bundle_too_large");
}
