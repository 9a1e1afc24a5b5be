//! Retries: requests that the server defers, that cannot have consumed the ticket, or that an idempotency key
//! covers.

use super::fake::{BUNDLE, Fake, answer, bundle, problem};
use super::hostile::idempotency_key;
use super::{CommandOutput, fetch, fetch_sample};
use crate::rig::claviger::{Claviger, Dev};
use crate::rig::http::exchange;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

fn fetch_from(fake: &Fake) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2").unwrap();
    fetch(&fake.url(), &token, &["--repo", "a", "--branch", "b"])
}

#[test]
fn a_deferred_request_is_repeated_after_retry_after() {
    let fake = Fake::start(|fake, request, before| {
        let later = [("Retry-After", "1")];
        Some(match (request.starts_with("POST "), before) {
            (true, 0) => problem(503, "store_unavailable", &later),
            (true, 1) => problem(429, "rate_limited", &later),
            (true, 2) => problem(503, "attestation_pending", &later),
            (true, _) => fake.ticket(),
            (false, 0) => problem(503, "audit_unavailable", &later),
            (false, _) => bundle(&[], BUNDLE),
        })
    });
    let started = Instant::now();
    let ran = fetch_from(&fake);
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), BUNDLE, ""));
    assert!(started.elapsed() >= Duration::from_secs(4), "the client did not wait for Retry-After");
    assert_eq!((fake.asked(), fake.redemptions().len()), (4, 2));
}

#[test]
fn a_lost_download_is_repeated_with_its_idempotency_key() {
    for lost in [Vec::new(), answer(504, &[], "<html>"), bundle(&[], BUNDLE)[..150].to_vec()] {
        let fake = Fake::start(move |fake, request, before| {
            Some(match (request.starts_with("POST "), before) {
                (true, _) => fake.ticket(),
                (false, 0) => lost.clone(),
                (false, _) => bundle(&[], BUNDLE),
            })
        });
        let ran = fetch_from(&fake);
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), BUNDLE, ""));
        let keys: Vec<_> = fake.redemptions().iter().map(|request| idempotency_key(request).unwrap()).collect();
        assert!(keys.len() == 2 && keys[0] == keys[1] && keys[0].len() == 32, "{keys:?}");
    }
}

#[test]
fn a_real_server_gives_a_lost_download_again() {
    let server = Arc::new(OnceLock::<SocketAddr>::new());
    let behind = server.clone();
    let relay = Fake::start(move |_, request, before| {
        let request = request.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
        let answer = exchange(*behind.get().unwrap(), request.as_bytes());
        let lost = request.starts_with("GET ") && before == 0;
        Some(if lost { answer[..answer.len() / 2].to_vec() } else { answer })
    });
    let url = relay.url();
    let environment = [("CLAVIGER__SERVER__PUBLICURL", url.as_str())];
    let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
    server.set(claviger.api).unwrap();
    let token = claviger.folder.path().join("token");
    let ran = fetch(&url, &token, &["--repo", "moreira.dev", "--branch", "main"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.text().ends_with("# claviger: 3 keys\n"), "{}", ran.text());
    assert_eq!(relay.redemptions().len(), 2);
    for outcome in ["redeemed", "replayed"] {
        assert_eq!(claviger.count(&format!(r#"claviger_ticket_redemptions_total{{outcome="{outcome}"}}"#)), 1);
    }
}

#[test]
fn the_token_goes_to_the_server_and_to_no_other_that_an_answer_names() {
    let other = Fake::start(|_, _, _| Some(bundle(&[], BUNDLE)));
    let url = other.ticket_url();
    let fake = Fake::start(move |_, _, _| Some(super::fake::receipt(&url, r#"["A","B"]"#)));
    assert_eq!(fetch_from(&fake).code, Some(0));
    let [redemption] = &other.redemptions()[..] else { panic!("{:?}", other.redemptions()) };
    assert!(!redemption.contains("hunter2") && !redemption.to_ascii_lowercase().contains("authorization"));

    let same = Fake::start(|fake, request, _| {
        Some(if request.starts_with("POST ") { fake.ticket() } else { bundle(&[], BUNDLE) })
    });
    assert_eq!(fetch_from(&same).code, Some(0));
    assert!(same.redemptions()[0].contains("authorization: Bearer hunter2"), "the token is sent to the same server");
}

#[test]
fn many_concurrent_fetches_succeed_at_a_server_that_defers_most() {
    let limit = [("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "2")];
    let claviger = Claviger::dev(&Dev { environment: &limit, ..Dev::default() });
    std::thread::scope(|scope| {
        let runs =
            [(); 6].map(|()| scope.spawn(|| fetch_sample(&claviger, &["--repo", "moreira.dev", "--branch", "main"])));
        for run in runs {
            let ran = run.join().unwrap();
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        }
    });
    assert!(claviger.count(r#"claviger_ticket_requests_total{code="rate_limited",outcome="failed"}"#) > 0);
}
