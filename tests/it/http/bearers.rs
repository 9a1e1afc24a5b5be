//! Bearer tokens of every kind: one is valid; all others get `401` and use no limits of other callers.

use super::assert_problem;
use crate::rig::http::{Answer, exchange, parse, request};
use crate::rig::oidc::{ISSUER, TestServer, TokenIssuer};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

fn ask_with(server: &TestServer, headers: &[(&str, &str)]) -> Answer {
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    server.send("POST", "/v1/tickets", &all, b"repo=site&branch=main")
}

#[test]
fn there_is_one_authorization_header_with_one_bearer() {
    let server = TestServer::with_one_secret();
    let token = server.issuer.token(&json!({}));
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(ask_with(&server, &[("Authorization", &format!("{scheme} {token}"))]).status, 201, "{scheme}");
    }
    let good = format!("Bearer {token}");
    assert_problem(&ask_with(&server, &[]), 401, "unauthenticated");
    assert_problem(&ask_with(&server, &[("Authorization", &good), ("Authorization", &good)]), 401, "unauthenticated");
    assert_problem(
        &ask_with(&server, &[("Authorization", &good), ("authorization", "Basic eDp5")]),
        401,
        "unauthenticated",
    );
    assert_problem(&ask_with(&server, &[("Proxy-Authorization", &good)]), 401, "unauthenticated");
    for value in [
        String::new(),
        "Bearer".into(),
        token.clone(),
        format!("Bearer\t{token}"),
        format!("Bearer  {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer \"{token}\""),
        format!("Basic {token}"),
        format!("Bearer: {token}"),
        format!("BearerX {token}"),
        format!("Bearer {token}\u{e9}"),
        format!("Bearer {token}="),
        format!("Bearer {}", token.replace('.', "%2E")),
        "Bearer .".into(),
        "Bearer ..".into(),
        "Bearer a.b.c".into(),
        format!("Bearer {}", "A".repeat(20 << 10)),
    ] {
        assert_problem(&ask_with(&server, &[("Authorization", &value)]), 401, "unauthenticated");
    }
    // Larger than a request's head may be: refused before authentication.
    let huge =
        format!("POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", "A".repeat(64 << 10));
    assert_eq!(parse(&exchange(server.api, huge.as_bytes())).status, 431);
    // Tokens elsewhere in a request are ignored.
    let form = format!("repo=site&branch=main&access_token={token}");
    assert_problem(&server.ask("", &form), 401, "unauthenticated");
    let target = format!("/v1/tickets?access_token={token}");
    assert_problem(
        &server.send("POST", &target, &[("Cookie", &format!("token={token}"))], b""),
        401,
        "unauthenticated",
    );
}

#[test]
fn a_token_must_be_signed_by_the_issuer_for_us_and_for_now() {
    let server = TestServer::with_one_secret();
    let issuer = &server.issuer;
    let now = TokenIssuer::claims()["iat"].as_i64().unwrap();
    assert_eq!(server.ask(&issuer.token(&json!({})), "repo=site&branch=main").status, 201);
    assert_eq!(server.ask(&issuer.token(&json!({"aud": ["x", "claviger"]})), "repo=site&branch=main").status, 201);
    let header = json!({"alg": "ES256", "kid": "ci"});
    let mut refused: Vec<String> = [
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"aud": "https://kubernetes.default.svc"}),
        json!({"aud": []}),
        json!({"iss": "https://other"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": null}),
        json!({"exp": now - 3600}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"nbf": now + 3600}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 1}),
    ]
    .iter()
    .map(|changes| issuer.token(changes))
    .collect();
    refused.push(TokenIssuer::new().token(&json!({})));
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS256", "kid": "ci"}),
        json!({"alg": "ES384", "kid": "ci"}),
        json!({"alg": "RS256", "kid": "ci"}),
        json!({"kid": "ci"}),
        json!({"alg": "ES256", "kid": "other"}),
        json!({"alg": "ES256", "kid": "ci", "crit": ["x"], "x": 1}),
        json!({"alg": "ES256", "kid": "other", "jwk": issuer.jwks()["keys"][0]}),
        json!({"alg": "ES256", "kid": "other", "jku": "https://evil.invalid/jwks"}),
    ] {
        refused.push(issuer.sign(&header, &TokenIssuer::claims()));
    }
    let good = issuer.sign(&header, &TokenIssuer::claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), good.split('.').nth(1).unwrap());
    refused.extend([
        format!("{unsigned}."),
        unsigned,
        format!("{message}."),
        format!("{message}.{}", "A".repeat(signature.len())),
    ]);
    refused.push(flip(&good, 0));
    refused.push(flip(&good, 1));
    // The public key as the secret of an HMAC: as bytes, as JSON, as a PEM body.
    let jwk = issuer.jwks()["keys"][0].to_string();
    for key in [issuer.public_key(), jwk.as_bytes(), &issuer.public_key()[1..]] {
        let message = format!("{}.{}", encode(&json!({"alg": "HS256", "kid": "ci"})), encode(&TokenIssuer::claims()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
        refused.push(format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag)));
    }
    let mut bodies = Vec::new();
    for token in &refused {
        let answer = server.ask(token, "repo=site&branch=main");
        assert_problem(&answer, 401, "unauthenticated");
        assert!(!answer.text().contains(token.as_str()), "{answer:?}");
        bodies.push(answer.text());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "all refusals have the same body: {bodies:?}");
    assert_eq!(server.count("claviger_tickets_outstanding"), 2);
    assert_eq!(
        server.count(r#"claviger_ticket_requests_total{code="unauthenticated",outcome="denied"}"#),
        refused.len() as u64
    );
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Changes the first character of one part of a token.
fn flip(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let last = parts[part].pop().unwrap();
    parts[part].push(if last == 'A' { 'B' } else { 'A' });
    parts.join(".")
}

#[test]
fn unauthenticated_clients_learn_nothing_about_their_request() {
    let server = TestServer::with_one_secret();
    for (content_type, body) in
        [("text/plain", "x"), ("application/json", "{"), ("application/json", r#"{"repo":"..","branch":""}"#)]
    {
        let headers = [("Content-Type", content_type), ("Authorization", "Bearer x.y.z")];
        let answer = request(server.api, "POST", "/v1/tickets", &headers, body.as_bytes());
        assert_problem(&answer, 401, "unauthenticated");
    }
    // The body limit is not applied either: the body is not read.
    let head =
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n";
    assert_problem(&parse(&exchange(server.api, head.as_bytes())), 401, "unauthenticated");
}
