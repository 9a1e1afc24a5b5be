//! When an issuer's keys are fetched again, and which keys are used meanwhile.

use super::OidcAuthenticator;
use crate::rig::claviger::Claviger;
use crate::rig::issuer::{DocumentAnswer, IssuerServer, SigningKey};
use crate::rig::time::advance;
use claviger::authn::{AuthnError, TokenRefusal};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const UNAVAILABLE: Option<AuthnError> = Some(AuthnError::Unavailable);
const UNKNOWN_KEY: Option<AuthnError> = Some(AuthnError::UnknownKey);
const NOT_AUTHENTICATED: Option<AuthnError> = Some(AuthnError::Refused(TokenRefusal::NotAuthenticated));
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_token_with_a_new_key_causes_a_fetch() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = IssuerServer::start(&[&old]).await;
    let authenticator = OidcAuthenticator::open(&issuer.url);
    let (with_old, with_new) = (old.token(&issuer.url), new.token(&issuer.url));
    assert_eq!(authenticator.authenticate(&with_old).await.err(), None);
    advance(MIN_FETCH_INTERVAL).await;
    issuer.publish_keys(&[&new]);
    assert_eq!(authenticator.authenticate(&with_old).await.err(), None, "a token with a known key causes no fetch");
    assert_eq!(authenticator.authenticate(&with_new).await.err(), None);
    assert_eq!(authenticator.authenticate(&with_old).await.err(), UNKNOWN_KEY, "the next fetch is not due yet");
    advance(MIN_FETCH_INTERVAL).await;
    assert_eq!(
        authenticator.authenticate(&with_old).await.err(),
        NOT_AUTHENTICATED,
        "the issuer no longer publishes the key"
    );
    assert_eq!(issuer.take_request_counts(), [3, 3]);
}

#[tokio::test]
async fn a_key_without_an_id_can_be_rotated() {
    let (old, new) = (SigningKey::without_id(), SigningKey::without_id());
    let issuer = IssuerServer::start(&[&old]).await;
    let authenticator = OidcAuthenticator::open(&issuer.url);
    assert_eq!(authenticator.authenticate(&old.token(&issuer.url)).await.err(), None);
    issuer.publish_keys(&[&new]);
    assert_eq!(authenticator.authenticate(&new.token(&issuer.url)).await.err(), UNKNOWN_KEY, "no fetch is due yet");
    advance(MIN_FETCH_INTERVAL).await;
    assert_eq!(authenticator.authenticate(&new.token(&issuer.url)).await.err(), None);
    assert_eq!(
        authenticator.authenticate(&old.token(&issuer.url)).await.err(),
        UNKNOWN_KEY,
        "it may have been signed with a third key"
    );
    advance(MIN_FETCH_INTERVAL).await;
    assert_eq!(authenticator.authenticate(&old.token(&issuer.url)).await.err(), NOT_AUTHENTICATED);
    assert_eq!(issuer.take_request_counts(), [3, 3]);
}

#[tokio::test]
async fn unknown_keys_cause_at_most_one_fetch_in_30_seconds() {
    let (key, unknown) = (SigningKey::new("a"), SigningKey::new("unknown"));
    let issuer = IssuerServer::start(&[&key]).await;
    let authenticator = Arc::new(OidcAuthenticator::open(&issuer.url));
    let (good, forged) = (key.token(&issuer.url), unknown.token(&issuer.url));
    assert_eq!(authenticator.authenticate(&good).await.err(), None);
    for (asked, verdict) in [([1, 1], UNKNOWN_KEY), ([1, 1], NOT_AUTHENTICATED), ([1, 1], NOT_AUTHENTICATED)] {
        let ask = |_| {
            let (authenticator, forged) = (authenticator.clone(), forged.clone());
            tokio::spawn(async move { authenticator.authenticate(&forged).await.err() })
        };
        for one in (0..100).map(ask).collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), verdict);
        }
        assert_eq!(authenticator.authenticate(&good).await.err(), None);
        assert_eq!(issuer.take_request_counts(), asked);
        advance(MIN_FETCH_INTERVAL).await;
    }
    assert_eq!(authenticator.authenticate(&forged).await.err(), NOT_AUTHENTICATED);
    advance(Duration::from_secs(29)).await;
    assert_eq!(authenticator.authenticate(&forged).await.err(), UNKNOWN_KEY, "the key is unknown and no fetch is due");
    assert_eq!(issuer.take_request_counts(), [1, 1], "no fetch one second before it is due");
}

#[tokio::test]
async fn keys_are_fetched_every_hour_in_the_background() {
    let (old, new) = (SigningKey::new("a"), SigningKey::new("a"));
    let issuer = IssuerServer::start(&[&old]).await;
    let authenticator = OidcAuthenticator::open(&issuer.url);
    assert_eq!(authenticator.authenticate(&old.token(&issuer.url)).await.err(), None);
    assert_eq!(issuer.take_request_counts(), [1, 1]);
    // The key id stays the same, so no token causes a fetch.
    issuer.publish_keys(&[&new]);
    advance(Duration::from_mins(59)).await;
    assert_eq!(authenticator.authenticate(&old.token(&issuer.url)).await.err(), None);
    assert_eq!(issuer.take_request_counts(), [0, 0]);
    advance(Duration::from_mins(1)).await;
    issuer.wait_for_request().await;
    while authenticator.authenticate(&new.token(&issuer.url)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(authenticator.authenticate(&old.token(&issuer.url)).await.err(), NOT_AUTHENTICATED);
    assert_eq!(issuer.take_request_counts(), [1, 1]);
}

#[tokio::test]
async fn keys_are_used_for_a_day_while_the_issuer_is_unreachable() {
    let (key, unknown) = (SigningKey::new("a"), SigningKey::new("unknown"));
    let issuer = IssuerServer::start(&[&key]).await;
    let authenticator = OidcAuthenticator::open(&issuer.url);
    let (good, forged) = (key.token(&issuer.url), unknown.token(&issuer.url));
    assert_eq!(authenticator.authenticate(&good).await.err(), None);
    issuer.answer_keys_with(DocumentAnswer::Response(503, "", String::new()));
    advance(MIN_FETCH_INTERVAL).await;
    for _ in 0..3 {
        assert_eq!(
            authenticator.authenticate(&forged).await.err(),
            UNAVAILABLE,
            "the issuer is unreachable, so the key is undecided"
        );
        assert_eq!(authenticator.authenticate(&good).await.err(), None);
    }
    assert_eq!(issuer.take_request_counts(), [2, 2]);
    authenticator.authenticators.reload().await;
    assert!(authenticator.authenticators.check_online().await.is_err());
    assert_eq!(authenticator.authenticate(&good).await.err(), None);

    advance(Duration::from_mins(23 * 60 + 58)).await;
    assert_eq!(authenticator.authenticate(&good).await.err(), None);
    advance(Duration::from_mins(2)).await;
    assert_eq!(authenticator.authenticate(&good).await.err(), UNAVAILABLE);
    issuer.publish_keys(&[&key]);
    advance(RETRY_INTERVAL).await;
    assert_eq!(authenticator.authenticate(&good).await.err(), None);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_retried_until_it_answers() {
    let key = SigningKey::new("a");
    let address = IssuerServer::start(&[]).await.address;
    let url = format!("http://{address}");
    let authenticator = OidcAuthenticator::open(&url);
    for _ in 0..3 {
        assert_eq!(authenticator.authenticate(&key.token(&url)).await.err(), UNAVAILABLE);
    }
    assert!(authenticator.authenticators.check_online().await.is_err());
    let issuer = IssuerServer::start_at(address, &[&key]).await;
    assert_eq!(authenticator.authenticate(&key.token(&url)).await.err(), UNAVAILABLE, "no fetch is due yet");
    assert_eq!(issuer.take_request_counts(), [0, 0]);
    advance(RETRY_INTERVAL).await;
    assert_eq!(authenticator.authenticate(&key.token(&url)).await.err(), None);
    assert_eq!(issuer.take_request_counts(), [1, 1]);
}

#[tokio::test]
async fn a_reload_fetches_keys_at_once_and_an_invalid_response_changes_nothing() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = IssuerServer::start(&[&old]).await;
    let authenticator = OidcAuthenticator::open(&issuer.url);
    assert_eq!(authenticator.authenticate(&old.token(&issuer.url)).await.err(), None);
    assert_eq!(issuer.take_request_counts(), [1, 1]);
    issuer.publish_keys(&[&new]);
    authenticator.authenticators.reload().await;
    issuer.wait_for_request().await;
    while authenticator.authenticate(&new.token(&issuer.url)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.take_request_counts(), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_with_unknown_keys_are_rate_limited_and_those_with_known_keys_are_not() {
    let (key, unknown) = (SigningKey::new("a"), SigningKey::new("unknown"));
    let issuer = IssuerServer::start(&[&key]).await;
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
    assert_eq!(
        claviger.ask(&good, "repo=site&branch=main").status,
        403,
        "a token with a known key is not rate limited"
    );
    assert_eq!(claviger.count("claviger_authentications_total{authenticator=\"github\",outcome=\"failed\"}"), 0);
}
