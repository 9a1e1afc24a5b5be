//! The store's reaction to a failing server: never reported as a missing secret, never longer than its timeout,
//! and nothing in the log.

use super::super::{NO_CACHE, SHORT_TIMEOUT, StoreRig};
use super::{unknown_keys, with_access_keys};
use crate::rig::fake::{Fake, Reaction, json, status};
use crate::rig::recorded_log::RecordedLog;
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{self, Absent, Forbidden, Misconfigured, Unavailable};
use std::time::{Duration, Instant};

fn with_short_timeout(address: &str) -> StoreRig {
    with_access_keys(address, &unknown_keys(), NO_CACHE, |config| config.timeout = SHORT_TIMEOUT)
}

fn error(line: &str, header: &str, code: &str) -> Reaction {
    let body = format!(r#"{{"__type":"com.amazonaws.secretsmanager#{code}","Message":"canary"}}"#);
    Reaction::Answer(line.into(), format!("Content-Type: application/x-amz-json-1.1\r\n{header}"), body)
}

#[tokio::test]
async fn only_one_response_means_absent_and_no_call_exceeds_its_time_limit() {
    let bad = "400 Bad Request";
    let elsewhere = Fake::start(|_| panic!("a redirect was followed")).await;
    let redirect = format!("Location: {}/\r\n", elsewhere.address);
    let good = r#"{"Name":"homelab/a","VersionId":"1","SecretString":"{\"K\":\"v\"}"}"#;
    let cases: Vec<(&str, Reaction, Result<(), ReadError>)> = vec![
        ("good", json(good), Ok(())),
        ("absent", error(bad, "", "ResourceNotFoundException"), Err(Absent)),
        (
            "absent by header",
            Reaction::Answer(
                bad.into(),
                "x-amzn-ErrorType: ResourceNotFoundException:http://x/\r\n".into(),
                "{}".into(),
            ),
            Err(Absent),
        ),
        ("absent with 500", error("500 Internal Server Error", "", "ResourceNotFoundException"), Err(Unavailable)),
        ("absent with 200", error("200 OK", "", "ResourceNotFoundException"), Err(Unavailable)),
        (
            "404 of somebody else",
            Reaction::Answer("404 Not Found".into(), String::new(), "<html>".into()),
            Err(Unavailable),
        ),
        ("decryption", error(bad, "", "DecryptionFailure"), Err(Misconfigured)),
        ("invalid name", error(bad, "", "ValidationException"), Err(Misconfigured)),
        ("denied", error(bad, "", "AccessDeniedException"), Err(Forbidden)),
        ("unknown key", error(bad, "", "UnrecognizedClientException"), Err(Forbidden)),
        (
            "403 of somebody else",
            Reaction::Answer("403 Forbidden".into(), String::new(), "<html>".into()),
            Err(Forbidden),
        ),
        ("throttled", error(bad, "", "ThrottlingException"), Err(Unavailable)),
        ("too many", status("429 Too Many Requests"), Err(Unavailable)),
        ("internal", error("500 Internal Server Error", "", "InternalServiceError"), Err(Unavailable)),
        ("away", status("503 Service Unavailable"), Err(Unavailable)),
        ("redirect", Reaction::Answer("307 Temporary Redirect".into(), redirect, String::new()), Err(Unavailable)),
        ("html", json("<html>"), Err(Unavailable)),
        ("broken JSON", json(r#"{"Name":"homelab/a","SecretString":"{\"K"#), Err(Unavailable)),
        ("a list", json("[]"), Err(Unavailable)),
        ("nothing", status("200 OK"), Err(Unavailable)),
        ("no content", status("204 No Content"), Err(Unavailable)),
        ("another secret", json(&good.replace("/a", "/b")), Err(Unavailable)),
        ("nonsense", Reaction::Raw(b"\xff\xff\r\n\r\n".into()), Err(Unavailable)),
        ("endless", Reaction::Endless, Err(Unavailable)),
        ("1 GiB", Reaction::Huge, Err(Unavailable)),
        ("trickle", Reaction::Trickle, Err(Unavailable)),
        ("black hole", Reaction::Silence, Err(Unavailable)),
        ("late", Reaction::Delayed(Duration::from_secs(10), Box::new(json(good))), Err(Unavailable)),
        ("hangs up", Reaction::HangUp, Err(Unavailable)),
    ];
    for (name, act, expected) in cases {
        let fake = Fake::start(move |line| {
            assert_eq!(line, "POST / HTTP/1.1");
            act.clone()
        })
        .await;
        let began = Instant::now();
        assert_eq!(with_short_timeout(&fake.address).read("homelab/a").await.map(|_| ()), expected, "{name}");
        assert!(began.elapsed() < Duration::from_secs(3), "{name}: {:?}", began.elapsed());
        assert!(fake.requests() <= 2, "{name}: {} calls", fake.requests());
    }
    assert_eq!(elsewhere.requests(), 0);
    assert_eq!(with_short_timeout("http://127.0.0.1:1").read("homelab/a").await.map(|_| ()), Err(Unavailable));
}

#[tokio::test]
async fn the_online_check_verifies_credentials_without_reading_a_secret() {
    let bad = "400 Bad Request";
    for (act, expected) in [
        (error(bad, "", "ResourceNotFoundException"), Ok(())),
        // moto answers in XML, AWS in JSON; the broker may lack the permission to describe secrets.
        (error(bad, "", "AccessDeniedException"), Ok(())),
        (error(bad, "", "UnrecognizedClientException"), Err(OnlineError::Refused)),
        (error(bad, "", "InvalidSignatureException"), Err(OnlineError::Refused)),
        (error(bad, "", "ValidationException"), Err(OnlineError::Misconfigured)),
        (status("503 Service Unavailable"), Err(OnlineError::Unavailable)),
        (Reaction::Silence, Err(OnlineError::Unavailable)),
    ] {
        let fake = Fake::start(move |_| act.clone()).await;
        let rig = with_short_timeout(&fake.address);
        assert_eq!(rig.stores.check_online().await, [("aws".into(), expected)]);
        assert_eq!(["ok", "absent", "forbidden"].map(|outcome| rig.calls("read", outcome)), [0; 3]);
    }
}

/// The number of calls of twenty reads to a server with this answer.
async fn calls_of(act: Reaction) -> usize {
    // Health probes are not counted.
    let fake = Fake::start(move |_| act.clone()).await;
    let rig = with_short_timeout(&fake.address);
    for number in 0..20 {
        assert!(rig.lease(&format!("homelab/{number}")).await.is_err());
    }
    let outcomes = ["absent", "deleted", "misconfigured", "forbidden", "unavailable"];
    usize::try_from(outcomes.map(|outcome| rig.calls("read", outcome)).iter().sum::<u64>()).unwrap()
}

#[tokio::test]
async fn the_breaker_opens_for_an_unavailable_server_and_not_for_error_responses() {
    let bad = "400 Bad Request";
    for (act, calls) in [
        (error(bad, "", "ThrottlingException"), 5),
        (error(bad, "Retry-After: 60\r\n", "ThrottlingException"), 1),
        (status("503 Service Unavailable"), 5),
        (error("500 Internal Server Error", "", "InternalServiceError"), 20),
        (error(bad, "", "AccessDeniedException"), 20),
        (error(bad, "", "DecryptionFailure"), 20),
        (error(bad, "", "ResourceNotFoundException"), 20),
    ] {
        let of = if let Reaction::Answer(line, _, body) = &act { format!("{line} {body}") } else { String::new() };
        assert_eq!(calls_of(act).await, calls, "{of}");
    }
}

#[tokio::test]
async fn the_log_of_a_failed_call_has_no_path_key_or_response() {
    let log = RecordedLog::as_served();
    for act in [
        json(r#"{"Name":"canary-path","SecretString":"canary-answer"}"#),
        error("400 Bad Request", "", "AccessDeniedException"),
        error("400 Bad Request", "", "canary-code"),
        Reaction::HangUp,
        Reaction::Endless,
        Reaction::Huge,
        Reaction::Silence,
    ] {
        let fake = Fake::start(move |_| act.clone()).await;
        assert!(with_short_timeout(&fake.address).read("homelab/canary-path").await.is_err());
    }
    let text = log.text();
    let logged = |kind: &str| text.matches(&format!("kind=\"{kind}\"")).count();
    let kinds = ["decode", "AccessDeniedException", "status", "broken", "body_too_large", "timeout"];
    assert_eq!(kinds.map(logged), [1, 1, 1, 1, 2, 1], "{text}");
    assert!(!text.contains("canary") && !text.contains("AKIANOBODY"), "{text}");
}
