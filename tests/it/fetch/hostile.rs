//! Servers that hang, give wrong or truncated answers, or redirect: one clear error line, the right exit code, no
//! file, and no second request for a consumed ticket.

use super::fake::{BUNDLE, Fake, TICKET, answer, bundle, problem, receipt};
use super::{CommandOutput, fetch, names};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fetches into an existing file, and checks that the file is unchanged and the error has neither token nor ticket.
fn assert_fails(fake: &Fake, code: i32, words: &str) -> CommandOutput {
    assert_fails_within("30s", fake, code, words)
}

fn assert_fails_within(timeout: &str, fake: &Fake, code: i32, words: &str) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    let (token, file) = (folder.path().join("token"), folder.path().join("build-env"));
    std::fs::write(&token, "hunter2.secret.token").unwrap();
    std::fs::write(&file, "old").unwrap();
    let to_file = ["--repo", "a", "--branch", "b", "--timeout", timeout, "--output", file.to_str().unwrap()];
    let ran = fetch(&fake.url(), &token, &to_file);
    ran.assert_failed(code, words);
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("AAAA"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
    assert_eq!(names(folder.path()), ["build-env", "token"]);
    ran
}

#[test]
fn an_invalid_answer_to_a_ticket_request_is_refused() {
    let ticket = |url: &str| receipt(url, r#"["A","B"]"#);
    let html = [("Content-Type", "text/html")];
    let problem_as_html = r#"{"type":"","title":"hunter2","status":403,"code":"AAAA"}"#;
    for (given, code, words) in [
        (answer(200, &html, "<html></html>"), 1, "answered 200, and not as Claviger does"),
        (answer(201, &html, "<html></html>"), 1, "answered 201, and not as Claviger does"),
        (answer(201, &[], r#"{"ticketId":"x","keys":[]}"#), 1, "answered 201, and not as Claviger does"),
        (answer(204, &[], ""), 1, "answered 204"),
        (answer(302, &[("Location", "http://127.0.0.1:1/")], ""), 1, "answered 302"),
        (answer(307, &[("Location", "/v1/tickets?again")], ""), 1, "answered 307"),
        (answer(403, &html, problem_as_html), 3, "answered 403, and not as Claviger does"),
        (answer(404, &html, "nothing"), 1, "answered 404"),
        (problem(403, "denied", &[]), 3, "claviger: denied: Oh. [request r-1]"),
        (problem(401, "unauthenticated", &[]), 3, "unauthenticated"),
        (problem(422, "invalid_repo", &[]), 1, "invalid_repo"),
        (problem(502, "store_forbidden", &[]), 1, "store_forbidden"),
        (problem(500, "internal", &[]), 1, "internal"),
        (problem(503, "draining", &[("Retry-After", "3600")]), 4, "draining"),
        (problem(429, "rate_limited", &[("Retry-After", "4000000000000")]), 4, "rate_limited"),
        (ticket(&format!("ftp://127.0.0.1/v1/downloads/{TICKET}")), 1, "answered 201"),
        (ticket(&format!("file:///v1/downloads/{TICKET}")), 1, "answered 201"),
        (ticket(&format!("//127.0.0.1/v1/downloads/{TICKET}")), 1, "answered 201"),
        (ticket("http://127.0.0.1:1/v1/downloads/AAAA"), 1, "answered 201"),
        (ticket(&format!("http://AAAA:b@127.0.0.1/v1/downloads/{TICKET}")), 1, "answered 201"),
        (answer(201, &[("Content-Length", "900000000000")], "{"), 1, "too large"),
    ] {
        let fake = Fake::start(move |_, _, _| Some(given.clone()));
        assert_fails(&fake, code, words);
        assert_eq!((fake.asked(), fake.redemptions().len()), (1, 0), "{words}");
    }
}

#[test]
fn an_invalid_download_is_refused_and_not_repeated() {
    let longer = format!("{BUNDLE}#");
    let shorter = BUNDLE.len() - 1;
    let one_key = BUNDLE.replace("2 keys", "1 keys");
    for (given, code, words) in [
        (bundle(&[("Content-Type", Some("text/html"))], "<html></html>"), 1, "media type"),
        (bundle(&[("Content-Type", None)], BUNDLE), 1, "media type"),
        (bundle(&[("Repr-Digest", None)], BUNDLE), 1, "no valid Repr-Digest with sha-256"),
        (bundle(&[("Repr-Digest", Some("sha-256=AAAA"))], BUNDLE), 1, "no valid Repr-Digest with sha-256"),
        (bundle(&[("Repr-Digest", Some("sha-256=:AAAA:"))], BUNDLE), 1, "digest differs from Repr-Digest"),
        (bundle(&[("Content-Encoding", Some("gzip"))], BUNDLE), 1, "compressed"),
        (bundle(&[("Content-Length", Some(&shorter.to_string()))], BUNDLE), 1, "digest differs from Repr-Digest"),
        (bundle(&[("Content-Length", Some("900000000000"))], BUNDLE), 1, "too large"),
        (bundle(&[], &longer), 1, "count of its keys"),
        (bundle(&[], &one_key), 1, "count of its keys"),
        (bundle(&[], ""), 1, "count of its keys"),
        (answer(302, &[("Location", "/elsewhere")], ""), 1, "answered 302"),
        (answer(206, &[], BUNDLE), 1, "answered 206"),
        (problem(410, "ticket_redeemed", &[]), 1, "ticket_redeemed: Oh. [request r-1]"),
        (problem(404, "ticket_unknown", &[]), 1, "ticket_unknown"),
        (problem(403, "ticket_misuse", &[]), 3, "ticket_misuse"),
        (problem(422, "unrenderable", &[]), 1, "unrenderable"),
        (problem(500, "internal", &[]), 1, "internal"),
        (answer(500, &[], "<html>"), 1, "answered 500"),
    ] {
        let fake = Fake::start(move |fake, request, _| {
            Some(if request.starts_with("POST ") { fake.ticket() } else { given.clone() })
        });
        assert_fails(&fake, code, words);
        assert_eq!((fake.asked(), fake.redemptions().len()), (1, 1), "{words}");
    }
}

#[test]
fn a_server_that_hangs_is_unavailable() {
    let fake = Fake::start(|_, _, _| None);
    assert_fails_within("2s", &fake, 4, "the server cannot be reached: no answer in time");
    let fake = Fake::start(|fake, request, _| request.starts_with("POST ").then(|| fake.ticket()));
    assert_fails_within("2s", &fake, 4, "the server cannot be reached: no answer in time");
    assert_eq!(fake.redemptions().len(), 1, "the time limit leaves no time for a retry");
}

#[test]
fn a_server_that_is_not_reachable_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let ran = fetch(&url, &token, &["--repo", "a", "--branch", "b", "--timeout", "1s"]);
    ran.assert_failed(4, "the server cannot be reached: the connection is refused");
}

/// Truncates an answer at every offset of its body and at some of its head. Several run at the same time, because they
/// mostly wait.
fn for_each_truncation(whole: &[u8], act: impl Fn(usize) + Sync) {
    let body = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let offsets: Vec<usize> = (0..body).step_by(9).chain(body..whole.len()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(at) = offsets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(*at);
                }
            });
        }
    });
}

#[test]
fn a_truncated_download_is_repeated_with_the_same_idempotency_key() {
    for_each_truncation(&bundle(&[], BUNDLE), |at| {
        let fake = Fake::start(move |fake, request, before| {
            Some(match (request.starts_with("POST "), before) {
                (true, _) => fake.ticket(),
                (false, 0) => bundle(&[], BUNDLE)[..at].to_vec(),
                (false, _) => problem(410, "ticket_redeemed", &[]),
            })
        });
        assert_fails(&fake, 1, "the download broke off, and its ticket cannot be used again");
        let keys: Vec<_> = fake.redemptions().iter().map(|request| idempotency_key(request).unwrap()).collect();
        assert!(keys.len() == 2 && keys[0] == keys[1], "cut at {at}: {keys:?}");
        assert_eq!(fake.asked(), 1);
    });
}

#[test]
fn a_truncated_ticket_answer_is_requested_again() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2").unwrap();
    for_each_truncation(&Fake::start(|_, _, _| None).ticket(), |at| {
        let fake = Fake::start(move |fake, request, before| {
            Some(match (request.starts_with("POST "), before) {
                (true, 0) => fake.ticket().into_iter().take(at).collect(),
                (true, _) => fake.ticket(),
                _ => bundle(&[], BUNDLE),
            })
        });
        let ran = fetch(&fake.url(), &token, &["--repo", "a", "--branch", "b"]);
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), BUNDLE, ""), "cut at {at}");
        assert_eq!((fake.asked(), fake.redemptions().len()), (2, 1), "cut at {at}");
    });
}

/// The `Idempotency-Key` of a request.
pub fn idempotency_key(request: &str) -> Option<String> {
    request.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).map(str::to_owned)
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let fake = Fake::start(|fake, request, _| {
        Some(if request.starts_with("POST ") { fake.ticket() } else { bundle(&[], BUNDLE) })
    });
    let token = Path::new("/dev/null");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2").unwrap();
    let mut command = super::command("fetch");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:1");
    }
    command.args(["--server", &fake.url(), "--repo", "a", "--branch", "b", "--token-file"]).arg(&file);
    assert_eq!(super::run_command(&mut command).code, Some(0));
    fetch(&fake.url(), token, &["--repo", "a"]).assert_failed(2, "contains no bearer token");
}
