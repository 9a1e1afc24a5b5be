//! An issuer's discovery document: what is accepted. Each refused document has the valid one as its twin.

use super::Counter;
use crate::rig::issuer::{Issuer, Key, Says};
use claviger::authn::{AuthnError, KeyFetchError, TokenRefusal};
use serde_json::json;
use tokio::time::Instant;

const UNAVAILABLE: Option<AuthnError> = Some(AuthnError::Unavailable);
const NOT_AUTHENTICATED: Option<AuthnError> = Some(AuthnError::Refused(TokenRefusal::NotAuthenticated));

/// The error for a valid token, and the message of the check before the start.
async fn verdict(issuer: &Issuer, key: &Key) -> (Option<AuthnError>, Option<String>) {
    let counter = Counter::open(&issuer.url);
    let verdict = counter.asks(&key.token(&issuer.url)).await.err();
    let faults = counter.authenticators.check_online().await.err().unwrap_or_default();
    assert!(faults.iter().all(|fault| fault.pointer == "/authenticators/0"), "{faults:?}");
    (verdict, faults.into_iter().next().map(|fault| fault.detail))
}

#[tokio::test]
async fn the_issuers_own_keys_vouch_for_its_tokens() {
    let (key, other) = (Key::new("a"), Key::new("a"));
    let issuer = Issuer::of(&[&key]).await;
    let counter = Counter::open(&issuer.url);
    let caller = counter.asks(&key.token(&issuer.url)).await.expect("good");
    assert_eq!((&*caller.issuer, caller.subject.as_str()), ("issuer", "repo:acme/site"));
    assert_eq!(caller.claims["runner_id"], 7);
    assert_eq!(caller.claims["groups_direct"], json!(["a", "b"]));
    assert_eq!(caller.claims["nested"], json!({"ok": true}));
    assert_eq!(counter.asks(&other.token(&issuer.url)).await.err(), NOT_AUTHENTICATED);
    let foreign = counter.asks(&key.token("http://127.0.0.1:1")).await.err();
    assert_eq!(foreign, Some(AuthnError::Refused(TokenRefusal::UnknownIssuer)));
    for _ in 0..50 {
        assert!(counter.asks(&key.token(&issuer.url)).await.is_ok());
    }
    assert_eq!(issuer.asked(), [1, 1], "asked once, whatever came");
    assert_eq!(counter.authenticators.check_online().await, Ok(()));
    assert_eq!(issuer.asked(), [1, 1], "a check asks");
}

#[tokio::test]
async fn a_document_is_about_the_issuer_itself_to_the_letter() {
    let key = Key::new("a");
    let issuer = Issuer::of(&[&key]).await;
    assert_eq!(verdict(&issuer, &key).await, (None, None));
    for other in [
        format!("{}/", issuer.url),
        issuer.url.replace("127.0.0.1", "localhost"),
        issuer.url.to_uppercase(),
        "https://issuer.example".into(),
        String::new(),
    ] {
        issuer.describes_itself_with(&json!({ "issuer": other }));
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
        issuer.describes_itself_with(&members);
        let expected = (UNAVAILABLE, Some(KeyFetchError::Malformed.to_string()));
        assert_eq!(verdict(&issuer, &key).await, expected, "{members}");
    }
    for keys in ["file:///etc/passwd", "http://issuer.example/keys", "/keys", ""] {
        issuer.describes_itself_with(&json!({ "jwks_uri": keys }));
        assert_eq!(verdict(&issuer, &key).await, (UNAVAILABLE, Some(KeyFetchError::JwksUri.to_string())), "{keys}");
    }
    issuer.describes_itself_with(&json!({}));
    assert_eq!(verdict(&issuer, &key).await, (None, None));
}

#[tokio::test]
async fn an_issuer_may_end_with_a_slash() {
    let key = Key::new("a");
    let issuer = Issuer::of(&[&key]).await;
    let with_slash = format!("{}/", issuer.url);
    issuer.describes_itself_with(&json!({ "issuer": with_slash }));
    let counter = Counter::open(&with_slash);
    assert_eq!(counter.asks(&key.token(&with_slash)).await.err(), None);
    let without = counter.asks(&key.token(&issuer.url)).await.err();
    assert_eq!(without, Some(AuthnError::Refused(TokenRefusal::UnknownIssuer)));
}

#[tokio::test]
async fn what_is_no_answer_is_not_taken_for_one() {
    let key = Key::new("a");
    let issuer = Issuer::of(&[&key]).await;
    let html = "<!doctype html><title>Sign in</title>".to_owned();
    let elsewhere: &str = "location: /keys\r\n";
    let set = |fill: usize| format!("{{\"keys\":[]{}}}", " ".repeat(fill));
    let (none, short, long) = (set(0), set((1 << 20) - 11), set(1 << 20));
    let no_keys = "the issuer's key set has no usable signature key (RSA of 2048 bits or more, EC on P-256 or P-384, or \
                   Ed25519)";
    let malformed = "the issuer's key set is not a JSON Web Key Set of at most 1 MiB and 100 keys".to_owned();
    for (says, of_itself, of_its_keys) in [
        (Says::Answers(200, "", html), KeyFetchError::Malformed.to_string(), malformed.clone()),
        (Says::Answers(200, "", String::new()), KeyFetchError::Malformed.to_string(), malformed.clone()),
        (Says::Answers(200, "", "[[]]".into()), KeyFetchError::Malformed.to_string(), malformed),
        (Says::Answers(200, "", none), KeyFetchError::Malformed.to_string(), no_keys.into()),
        (Says::Answers(200, "", short), KeyFetchError::Malformed.to_string(), no_keys.into()),
        (Says::Answers(200, "", long), KeyFetchError::TooLarge.to_string(), KeyFetchError::TooLarge.to_string()),
        (Says::Endless, KeyFetchError::TooLarge.to_string(), KeyFetchError::TooLarge.to_string()),
        (Says::HangsUp, KeyFetchError::Broken.to_string(), KeyFetchError::Broken.to_string()),
        (Says::Answers(302, elsewhere, String::new()), status(302), status(302)),
        (Says::Answers(307, elsewhere, String::new()), status(307), status(307)),
        (Says::Answers(204, "", String::new()), status(204), status(204)),
        (Says::Answers(404, "", String::new()), status(404), status(404)),
        (Says::Answers(500, "", String::new()), status(500), status(500)),
    ] {
        issuer.says_of_itself(says.clone());
        assert_eq!(verdict(&issuer, &key).await, (UNAVAILABLE, Some(of_itself)));
        assert_eq!(issuer.asked()[1], 0, "no redirect is followed");
        issuer.describes_itself_with(&json!({}));
        issuer.says_of_its_keys(says);
        assert_eq!(verdict(&issuer, &key).await, (UNAVAILABLE, Some(of_its_keys)));
        issuer.publishes(&[&key]);
        assert_eq!(verdict(&issuer, &key).await, (None, None));
        issuer.asked();
    }
}

fn status(status: u16) -> String {
    KeyFetchError::Status(status).to_string()
}

#[tokio::test]
async fn a_silent_issuer_is_waited_for_five_seconds() {
    let key = Key::new("a");
    let issuer = Issuer::of(&[&key]).await;
    issuer.says_of_its_keys(Says::Silence);
    let counter = Counter::open(&issuer.url);
    issuer.is_asked().await;
    // From here on, only time passes.
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(counter.asks(&key.token(&issuer.url)).await.err(), UNAVAILABLE);
    let took = began.elapsed().as_secs_f64();
    assert!((4.0..6.0).contains(&took), "{took}");
}
