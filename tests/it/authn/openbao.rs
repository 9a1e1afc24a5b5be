//! A real OIDC issuer over TLS: OpenBao, whose identity tokens are JWTs with discovery and rotating keys.

use super::OidcAuthenticator;
use crate::rig::bao::Bao;
use crate::rig::claviger::{Claviger, write_policies};
use crate::rig::oidc::TokenIssuer;
use crate::rig::proxy::Proxy;
use claviger::authn::AuthnError;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn the_binary_accepts_tokens_of_an_issuer_whose_keys_it_fetches() {
    let bao = Bao::start_tls().await;
    let (good, for_others) = (bao.identity_token("claviger").await, bao.identity_token("other").await);
    let folder = tempfile::tempdir().unwrap();
    let policy = json!({
        "subjects": [{"oidc": {"issuer": "bao", "claims": {"namespace": "root"}}}],
        "repos": ["**"], "branches": ["**"], "secrets": [{"store": "local", "path": "homelab/site"}],
    });
    write_policies(&folder.path().join("policies"), &[("bao", policy)]);
    std::fs::write(folder.path().join("secrets.yaml"), r#"{"homelab/site": {"TOKEN": "t"}}"#).unwrap();
    let config = json!({
        "authenticators": [
            {"name": "bao", "oidc": {"issuer": bao.issuer(), "audience": "claviger", "algorithms": ["ES256"]}},
        ],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "policies": {"directory": "policies"},
    });
    let ca = bao.ca_file().display().to_string();
    let trusting = Claviger::serve_with(folder, config.clone(), &[("SSL_CERT_FILE", &ca)]);
    let answer = trusting.ask(&good, "repo=site&branch=main");
    assert_eq!(answer.status, 201, "{answer:?}\n{}", trusting.log());
    assert_eq!(answer.json()["keys"], json!(["TOKEN"]));
    let refused = trusting.ask(&for_others, "repo=site&branch=main");
    assert_eq!((refused.status, refused.code()), (401, "unauthenticated".into()));

    // A key that the issuer did not have a moment ago is unknown until keys may be fetched again.
    let claims = json!({"iss": bao.issuer(), "aud": "claviger", "sub": "s", "exp": TokenIssuer::claims()["exp"]});
    let unknown_key = TokenIssuer::new().sign(&json!({"alg": "ES256", "kid": "new"}), &claims);
    let answer = trusting.ask(&unknown_key, "repo=site&branch=main");
    assert_eq!((answer.status, answer.code()), (503, "token_review_unavailable".into()), "{answer:?}");
    assert!(answer.header("retry-after").is_some());

    // A broker that does not trust the issuer's certificate starts, but accepts none of its tokens.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    let wary = Claviger::serve_in(folder, config);
    let refused = wary.ask(&good, "repo=site&branch=main");
    assert_eq!((refused.status, refused.code()), (503, "token_review_unavailable".into()));
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn a_real_key_rotation_is_followed() {
    let bao = Bao::start().await;
    let with_old_key = bao.identity_token("claviger").await;
    let authenticator = OidcAuthenticator::open(&bao.issuer());
    assert_eq!(authenticator.authenticate(&with_old_key).await.err(), None);
    // It publishes its next key in advance: only the second rotation brings an unknown key.
    bao.rotate_identity_key().await;
    assert_eq!(authenticator.authenticate(&bao.identity_token("claviger").await).await.err(), None);
    bao.rotate_identity_key().await;
    let with_new_key = bao.identity_token("claviger").await;
    assert_eq!(
        authenticator.authenticate(&with_new_key).await.err(),
        Some(AuthnError::UnknownKey),
        "no fetch is due yet"
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    assert_eq!(authenticator.authenticate(&with_new_key).await.err(), None);
    assert_eq!(authenticator.authenticate(&with_old_key).await.err(), None, "old keys stay published for a while");
}

#[tokio::test]
async fn an_issuer_behind_a_private_ca_and_a_proxy_is_reached() {
    let (bao, other, proxy) = (Bao::start_tls().await, Bao::start_tls().await, Proxy::start());
    let token = bao.identity_token("claviger").await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::copy(bao.ca_file(), &ca).unwrap();
    let with = async |ca: &std::path::Path, proxy: Option<String>| {
        let authenticator = OidcAuthenticator::with(&bao.issuer(), Some(ca.to_owned()), proxy);
        let faults = authenticator.authenticators.check_online().await.err().unwrap_or_default();
        (
            authenticator.authenticate(&token).await.err(),
            faults.into_iter().map(|fault| fault.detail).collect::<Vec<_>>(),
        )
    };
    assert_eq!(with(&ca, None).await, (None, vec![]));
    assert_eq!(proxy.tunnels(), Vec::<String>::new());
    assert_eq!(with(&ca, Some(proxy.url())).await, (None, vec![]));
    assert!(!proxy.tunnels().is_empty());
    let (verdict, faults) = with(&ca, Some("http://127.0.0.1:9".into())).await;
    assert_eq!(verdict, Some(AuthnError::Unavailable), "the proxy is not bypassed: {faults:?}");
    let (verdict, faults) = with(&other.ca_file(), None).await;
    assert_eq!(verdict, Some(AuthnError::Unavailable));
    assert!(faults[0].contains(claviger::trust::ConnectFailure::UnknownIssuer.sentence()), "{faults:?}");
}

#[tokio::test]
async fn a_ca_file_that_is_replaced_is_read_again() {
    let (bao, other) = (Bao::start_tls().await, Bao::start_tls().await);
    let token = bao.identity_token("claviger").await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::copy(other.ca_file(), &ca).unwrap();
    let authenticator = OidcAuthenticator::with(&bao.issuer(), Some(ca.clone()), None);
    assert_eq!(authenticator.authenticate(&token).await.err(), Some(AuthnError::Unavailable));
    std::fs::copy(bao.ca_file(), &ca).unwrap();
    // At once, although keys were fetched a moment ago.
    assert_eq!(authenticator.authenticate(&token).await.err(), None);
}
