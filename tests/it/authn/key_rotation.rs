//! When an issuer's keys are fetched again, and which keys are used meanwhile.

use super::Counter;
use crate::rig::claviger::Claviger;
use crate::rig::issuer::{Issuer, Key, Says};
use claviger::authn::{AuthnError, TokenRefusal};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const UNAVAILABLE: Option<AuthnError> = Some(AuthnError::Unavailable);
const UNKNOWN_KEY: Option<AuthnError> = Some(AuthnError::UnknownKey);
const NOT_AUTHENTICATED: Option<AuthnError> = Some(AuthnError::Refused(TokenRefusal::NotAuthenticated));
const AT_MOST_EVERY: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(5);

async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_new_key_is_seen_when_it_is_used() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::of(&[&old]).await;
    let counter = Counter::open(&issuer.url);
    let (with_old, with_new) = (old.token(&issuer.url), new.token(&issuer.url));
    assert_eq!(counter.asks(&with_old).await.err(), None);
    advance(AT_MOST_EVERY).await;
    issuer.publishes(&[&new]);
    assert_eq!(counter.asks(&with_old).await.err(), None, "a known key is no reason to ask");
    assert_eq!(counter.asks(&with_new).await.err(), None);
    assert_eq!(counter.asks(&with_old).await.err(), UNKNOWN_KEY, "it may be back, and it is too early to ask");
    advance(AT_MOST_EVERY).await;
    assert_eq!(counter.asks(&with_old).await.err(), NOT_AUTHENTICATED, "the issuer has withdrawn it");
    assert_eq!(issuer.asked(), [3, 3]);
}

#[tokio::test]
async fn a_key_without_an_id_can_change_too() {
    let (old, new) = (Key::nameless(), Key::nameless());
    let issuer = Issuer::of(&[&old]).await;
    let counter = Counter::open(&issuer.url);
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), None);
    issuer.publishes(&[&new]);
    assert_eq!(counter.asks(&new.token(&issuer.url)).await.err(), UNKNOWN_KEY, "too early to ask");
    advance(AT_MOST_EVERY).await;
    assert_eq!(counter.asks(&new.token(&issuer.url)).await.err(), None);
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), UNKNOWN_KEY, "it may be a third key's");
    advance(AT_MOST_EVERY).await;
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), NOT_AUTHENTICATED);
    assert_eq!(issuer.asked(), [3, 3]);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_question_in_half_a_minute() {
    let (key, unknown) = (Key::new("a"), Key::new("unknown"));
    let issuer = Issuer::of(&[&key]).await;
    let counter = Arc::new(Counter::open(&issuer.url));
    let (good, forged) = (key.token(&issuer.url), unknown.token(&issuer.url));
    assert_eq!(counter.asks(&good).await.err(), None);
    for (asked, verdict) in [([1, 1], UNKNOWN_KEY), ([1, 1], NOT_AUTHENTICATED), ([1, 1], NOT_AUTHENTICATED)] {
        let ask = |_| {
            let (counter, forged) = (counter.clone(), forged.clone());
            tokio::spawn(async move { counter.asks(&forged).await.err() })
        };
        for one in (0..100).map(ask).collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), verdict);
        }
        assert_eq!(counter.asks(&good).await.err(), None);
        assert_eq!(issuer.asked(), asked);
        advance(AT_MOST_EVERY).await;
    }
    assert_eq!(counter.asks(&forged).await.err(), NOT_AUTHENTICATED);
    advance(Duration::from_secs(29)).await;
    assert_eq!(counter.asks(&forged).await.err(), UNKNOWN_KEY, "nobody knows, and nobody may ask");
    assert_eq!(issuer.asked(), [1, 1], "a second too early");
}

#[tokio::test]
async fn an_issuer_is_asked_every_hour_unasked() {
    let (old, new) = (Key::new("a"), Key::new("a"));
    let issuer = Issuer::of(&[&old]).await;
    let counter = Counter::open(&issuer.url);
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), None);
    assert_eq!(issuer.asked(), [1, 1]);
    // The key id stays the same, so no token causes a fetch.
    issuer.publishes(&[&new]);
    advance(Duration::from_mins(59)).await;
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), None);
    assert_eq!(issuer.asked(), [0, 0]);
    advance(Duration::from_mins(1)).await;
    issuer.is_asked().await;
    while counter.asks(&new.token(&issuer.url)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), NOT_AUTHENTICATED);
    assert_eq!(issuer.asked(), [1, 1]);
}

#[tokio::test]
async fn the_last_good_keys_stay_for_a_day() {
    let (key, unknown) = (Key::new("a"), Key::new("unknown"));
    let issuer = Issuer::of(&[&key]).await;
    let counter = Counter::open(&issuer.url);
    let (good, forged) = (key.token(&issuer.url), unknown.token(&issuer.url));
    assert_eq!(counter.asks(&good).await.err(), None);
    issuer.says_of_its_keys(Says::Answers(503, "", String::new()));
    advance(AT_MOST_EVERY).await;
    for _ in 0..3 {
        assert_eq!(counter.asks(&forged).await.err(), UNAVAILABLE, "nobody knows whether the issuer has that key");
        assert_eq!(counter.asks(&good).await.err(), None);
    }
    assert_eq!(issuer.asked(), [2, 2]);
    counter.authenticators.reload().await;
    assert!(counter.authenticators.check_online().await.is_err());
    assert_eq!(counter.asks(&good).await.err(), None);

    advance(Duration::from_mins(23 * 60 + 58)).await;
    assert_eq!(counter.asks(&good).await.err(), None);
    advance(Duration::from_mins(2)).await;
    assert_eq!(counter.asks(&good).await.err(), UNAVAILABLE);
    issuer.publishes(&[&key]);
    advance(RETRY).await;
    assert_eq!(counter.asks(&good).await.err(), None);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_asked_until_it_is_up() {
    let key = Key::new("a");
    let address = Issuer::of(&[]).await.address;
    let url = format!("http://{address}");
    let counter = Counter::open(&url);
    for _ in 0..3 {
        assert_eq!(counter.asks(&key.token(&url)).await.err(), UNAVAILABLE);
    }
    assert!(counter.authenticators.check_online().await.is_err());
    let issuer = Issuer::at(address, &[&key]).await;
    assert_eq!(counter.asks(&key.token(&url)).await.err(), UNAVAILABLE, "too early to ask");
    assert_eq!(issuer.asked(), [0, 0]);
    advance(RETRY).await;
    assert_eq!(counter.asks(&key.token(&url)).await.err(), None);
    assert_eq!(issuer.asked(), [1, 1]);
}

#[tokio::test]
async fn a_reload_asks_at_once_and_a_bad_answer_changes_nothing() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::of(&[&old]).await;
    let counter = Counter::open(&issuer.url);
    assert_eq!(counter.asks(&old.token(&issuer.url)).await.err(), None);
    assert_eq!(issuer.asked(), [1, 1]);
    issuer.publishes(&[&new]);
    counter.authenticators.reload().await;
    issuer.is_asked().await;
    while counter.asks(&new.token(&issuer.url)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.asked(), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_unknown_keys_is_charged_and_known_keys_go_on() {
    let (key, unknown) = (Key::new("a"), Key::new("unknown"));
    let issuer = Issuer::of(&[&key]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    let config = json!({
        "authenticators": [
            {"name": "github", "oidc": {"issuer": issuer.url, "audience": "claviger", "algorithms": ["ES256"]}},
        ],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "policies": {"directory": "policies"},
    });
    let limit = [("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "1")];
    let claviger = Claviger::serve_with(folder, config, &limit);
    let (good, forged) = (key.token(&issuer.url), unknown.token(&issuer.url));
    assert_eq!(claviger.ask(&good, "repo=site&branch=main").status, 403);
    let ask = || {
        let answer = claviger.ask(&forged, "repo=site&branch=main");
        if answer.status == 503 {
            assert_eq!(answer.code(), "token_review_unavailable");
            assert!(answer.header("retry-after").is_some());
        } else {
            assert_eq!((answer.status, answer.code()), (429, "rate_limited".into()), "{answer:?}");
        }
        answer.status
    };
    assert_eq!(ask(), 503);
    // All at once, so that a slow machine still sends more than ten in a second.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(claviger.ask(&good, "repo=site&branch=main").status, 403, "who is known is not kept out");
    assert_eq!(claviger.count("claviger_authentications_total{authenticator=\"github\",outcome=\"failed\"}"), 0);
}
