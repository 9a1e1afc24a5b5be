//! An issuer's discovery document: the valid one is accepted, and each faulty one refused.

use super::OidcAuthenticator;
use crate::rig::issuer::{DocumentAnswer, IssuerServer, SigningKey};
use claviger::authn::{AuthnError, KeyFetchError, TokenRefusal};
use serde_json::json;
use tokio::time::Instant;

const UNAVAILABLE: Option<AuthnError> = Some(AuthnError::Unavailable);
const NOT_AUTHENTICATED: Option<AuthnError> = Some(AuthnError::Refused(TokenRefusal::NotAuthenticated));

/// The error for a valid token, and the message of the check before the start.
async fn verdict(issuer: &IssuerServer, key: &SigningKey) -> (Option<AuthnError>, Option<String>) {
    let authenticator = OidcAuthenticator::open(&issuer.url);
    let verdict = authenticator.authenticate(&key.token(&issuer.url)).await.err();
    let faults = authenticator.authenticators.check_online().await.err().unwrap_or_default();
    assert!(faults.iter().all(|fault| fault.pointer == "/authenticators/0"), "{faults:?}");
    (verdict, faults.into_iter().next().map(|fault| fault.detail))
}

#[tokio::test]
async fn tokens_are_verified_with_the_keys_of_their_issuer() {
    let (key, other) = (SigningKey::new("a"), SigningKey::new("a"));
    let issuer = IssuerServer::start(&[&key]).await;
    let authenticator = OidcAuthenticator::open(&issuer.url);
    let caller = authenticator.authenticate(&key.token(&issuer.url)).await.expect("good");
    assert_eq!((&*caller.issuer, caller.subject.as_str()), ("issuer", "repo:acme/site"));
    assert_eq!(caller.claims["runner_id"], 7);
    assert_eq!(caller.claims["groups_direct"], json!(["a", "b"]));
    assert_eq!(caller.claims["nested"], json!({"ok": true}));
    assert_eq!(authenticator.authenticate(&other.token(&issuer.url)).await.err(), NOT_AUTHENTICATED);
    let foreign = authenticator.authenticate(&key.token("http://127.0.0.1:1")).await.err();
    assert_eq!(foreign, Some(AuthnError::Refused(TokenRefusal::UnknownIssuer)));
    for _ in 0..50 {
        assert!(authenticator.authenticate(&key.token(&issuer.url)).await.is_ok());
    }
    assert_eq!(issuer.take_request_counts(), [1, 1], "each document is fetched once");
    assert_eq!(authenticator.authenticators.check_online().await, Ok(()));
    assert_eq!(issuer.take_request_counts(), [1, 1], "a check asks");
}

#[tokio::test]
async fn the_issuer_in_the_document_must_match_exactly() {
    let key = SigningKey::new("a");
    let issuer = IssuerServer::start(&[&key]).await;
    assert_eq!(verdict(&issuer, &key).await, (None, None));
    for other in [
        format!("{}/", issuer.url),
        issuer.url.replace("127.0.0.1", "localhost"),
        issuer.url.to_uppercase(),
        "https://issuer.example".into(),
        String::new(),
    ] {
        issuer.change_discovery(&json!({ "issuer": other }));
        assert_eq!(
            verdict(&issuer, &key).await,
            (UNAVAILABLE, Some(KeyFetchError::OtherIssuer.to_string())),
            "{other}"
        );
    }
    for members in [
        json!({"issuer": null}),
        json!({"issuer": [issuer.url]}),
        json!({"jwks_uri": null}),
        json!({"jwks_uri": {"url": issuer.url}}),
    ] {
        issuer.change_discovery(&members);
        let expected = (UNAVAILABLE, Some(KeyFetchError::Malformed.to_string()));
        assert_eq!(verdict(&issuer, &key).await, expected, "{members}");
    }
    for keys in ["file:///etc/passwd", "http://issuer.example/keys", "/keys", ""] {
        issuer.change_discovery(&json!({ "jwks_uri": keys }));
        assert_eq!(verdict(&issuer, &key).await, (UNAVAILABLE, Some(KeyFetchError::JwksUri.to_string())), "{keys}");
    }
    issuer.change_discovery(&json!({}));
    assert_eq!(verdict(&issuer, &key).await, (None, None));
}

#[tokio::test]
async fn an_issuer_may_end_with_a_slash() {
    let key = SigningKey::new("a");
    let issuer = IssuerServer::start(&[&key]).await;
    let with_slash = format!("{}/", issuer.url);
    issuer.change_discovery(&json!({ "issuer": with_slash }));
    let authenticator = OidcAuthenticator::open(&with_slash);
    assert_eq!(authenticator.authenticate(&key.token(&with_slash)).await.err(), None);
    let without = authenticator.authenticate(&key.token(&issuer.url)).await.err();
    assert_eq!(without, Some(AuthnError::Refused(TokenRefusal::UnknownIssuer)));
}

#[tokio::test]
async fn invalid_responses_of_an_issuer_are_refused() {
    let key = SigningKey::new("a");
    let issuer = IssuerServer::start(&[&key]).await;
    let html = "<!doctype html><title>Sign in</title>".to_owned();
    let elsewhere: &str = "location: /keys\r\n";
    let set = |fill: usize| format!("{{\"keys\":[]{}}}", " ".repeat(fill));
    let (none, short, long) = (set(0), set((1 << 20) - 11), set(1 << 20));
    let no_keys = "the issuer's key set has no usable signature key (RSA of 2048 bits or more, EC on P-256 or P-384, or \
                   Ed25519)";
    let malformed = "the issuer's key set is not a JSON Web Key Set of at most 1 MiB and 100 keys".to_owned();
    for (answer, discovery_error, keys_error) in [
        (DocumentAnswer::Response(200, "", html), KeyFetchError::Malformed.to_string(), malformed.clone()),
        (DocumentAnswer::Response(200, "", String::new()), KeyFetchError::Malformed.to_string(), malformed.clone()),
        (DocumentAnswer::Response(200, "", "[[]]".into()), KeyFetchError::Malformed.to_string(), malformed),
        (DocumentAnswer::Response(200, "", none), KeyFetchError::Malformed.to_string(), no_keys.into()),
        (DocumentAnswer::Response(200, "", short), KeyFetchError::Malformed.to_string(), no_keys.into()),
        (
            DocumentAnswer::Response(200, "", long),
            KeyFetchError::TooLarge.to_string(),
            KeyFetchError::TooLarge.to_string(),
        ),
        (DocumentAnswer::Endless, KeyFetchError::TooLarge.to_string(), KeyFetchError::TooLarge.to_string()),
        (DocumentAnswer::Closed, KeyFetchError::Broken.to_string(), KeyFetchError::Broken.to_string()),
        (DocumentAnswer::Response(302, elsewhere, String::new()), status(302), status(302)),
        (DocumentAnswer::Response(307, elsewhere, String::new()), status(307), status(307)),
        (DocumentAnswer::Response(204, "", String::new()), status(204), status(204)),
        (DocumentAnswer::Response(404, "", String::new()), status(404), status(404)),
        (DocumentAnswer::Response(500, "", String::new()), status(500), status(500)),
    ] {
        issuer.answer_discovery_with(answer.clone());
        assert_eq!(verdict(&issuer, &key).await, (UNAVAILABLE, Some(discovery_error)));
        assert_eq!(issuer.take_request_counts()[1], 0, "no redirect is followed");
        issuer.change_discovery(&json!({}));
        issuer.answer_keys_with(answer);
        assert_eq!(verdict(&issuer, &key).await, (UNAVAILABLE, Some(keys_error)));
        issuer.publish_keys(&[&key]);
        assert_eq!(verdict(&issuer, &key).await, (None, None));
        issuer.take_request_counts();
    }
}

fn status(status: u16) -> String {
    KeyFetchError::Status(status).to_string()
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_times_out_after_five_seconds() {
    let key = SigningKey::new("a");
    let issuer = IssuerServer::start(&[&key]).await;
    issuer.answer_keys_with(DocumentAnswer::Silence);
    let authenticator = OidcAuthenticator::open(&issuer.url);
    issuer.wait_for_request().await;
    // From here on, only time passes.
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(authenticator.authenticate(&key.token(&issuer.url)).await.err(), UNAVAILABLE);
    let took = began.elapsed().as_secs_f64();
    assert!((4.0..6.0).contains(&took), "{took}");
}
