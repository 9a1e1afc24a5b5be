//! A ticket URL has one valid spelling, and a client without the key learns nothing.

use super::assert_problem;
use crate::rig::http::{exchange, parse};
use crate::rig::oidc::TestServer;
use crate::vault_api::assert_errors;

#[test]
fn another_spelling_is_404_and_consumes_nothing() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    let token = path.rsplit('/').next().unwrap();
    let (id, key) = token.split_once('.').unwrap();
    let first = format!("%{:02X}", token.as_bytes()[0]);
    let swap_case = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect()
    };
    // The next character of the alphabet: a decoder that ignores stray bits would return the same bytes.
    let stray = |text: &str| {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (head, last) = text.split_at(text.len() - 1);
        let place = alphabet.find(last).unwrap();
        format!("{head}{}", &alphabet[place + 1..place + 2])
    };
    for spelling in [
        format!("{first}{}", &token[1..]),
        token.replace('.', "%2E"),
        token.replace('.', "%2e"),
        format!("{token}="),
        format!("{id}==.{key}="),
        format!("{key}.{id}"),
        swap_case(token),
        format!("{}.{key}", stray(id)),
        format!("{id}.{}", stray(key)),
        format!("{token}/"),
        format!("{token}/x"),
        format!("{token};x"),
        format!("{token}%00"),
        format!("{token}%20"),
        format!("{token}%0a"),
        format!("{token}%2F"),
        format!("{token}%3Fformat=json"),
        format!("%2e/{token}"),
        format!("./{token}"),
        format!("../downloads/{token}"),
        format!("/{token}"),
        format!("x/{token}"),
        format!("x%2F{token}"),
        format!("{id}:{key}"),
        format!("{id}{key}"),
        format!("{id}..{key}"),
        format!(".{key}"),
        format!("{id}."),
        id.to_owned(),
        key.to_owned(),
    ] {
        let answer = server.download(&format!("/v1/downloads/{spelling}"));
        assert_eq!(answer.status, 404, "{spelling}: {answer:?}");
        assert!(["ticket_unknown", "not_found"].contains(&answer.code().as_str()), "{answer:?}");
    }
    for prefix in ["/V1/downloads/", "//v1/downloads/", "/v1/downloads//", "/v2/downloads/"] {
        assert_problem(&server.download(&format!("{prefix}{token}")), 404, "not_found");
    }
    for prefix in ["/v1/Downloads/", "/v1/%64ownloads/", "/v1/./downloads/", "/v1/x/../downloads/"] {
        assert_errors(&server.download(&format!("{prefix}{token}")), 403, "denied: ");
    }
    // Invalid characters in a request target are refused before it is parsed.
    for target in [
        format!("{path}#x"),
        format!("{path}?format=json#x"),
        format!("{path} x"),
        format!("{path}\t"),
        format!("{path}\u{e9}"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let status = parse(&exchange(server.api, request.as_bytes())).status;
        assert!(matches!(status, 400 | 404), "{target}: {status}");
    }
    assert_eq!(server.download(&path).status, 200);
}

#[test]
fn a_wrong_key_and_an_unknown_id_are_one_answer() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    let token = path.rsplit('/').next().unwrap();
    let (id, key) = token.split_once('.').unwrap();
    let (no_key, no_id) = ("A".repeat(43), "A".repeat(22));
    let wrong = |token: String| server.download(&format!("/v1/downloads/{token}"));
    let strip = |answer: &crate::rig::http::Answer| {
        let kept = |name: &str| !["x-request-id", "date"].contains(&name);
        let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| kept(name)).cloned().collect();
        (answer.status, headers, answer.body.clone())
    };
    let unknown = wrong(format!("{no_id}.{no_key}"));
    assert_problem(&unknown, 404, "ticket_unknown");
    let answers = [wrong(format!("{id}.{no_key}")), wrong(format!("{no_id}.{key}")), wrong("x".into())];
    for answer in &answers {
        assert_eq!(strip(answer), strip(&unknown));
    }
    assert_eq!(server.download(&path).status, 200);
    // The answer does not reveal afterwards that there was a ticket.
    assert_eq!(strip(&wrong(format!("{id}.{no_key}"))), strip(&unknown));
    assert_problem(&server.download(&path), 410, "ticket_redeemed");
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="unknown"}"#), 5);
}
