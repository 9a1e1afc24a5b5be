//! The source and lifetime of the broker's AWS credentials.

use super::super::{NO_CACHE, StoreRig, single_value};
use super::{USER, open, unknown_keys, with_access_keys};
use crate::rig::bao::until;
use crate::rig::fake::{Fake, json, status};
use crate::rig::moto::{Moto, write_web_identity_token};
use claviger::config::aws_secrets_manager::AwsAuth;
use claviger::model::clock::{Clock as _, SystemClock};
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{Forbidden, Unavailable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn assuming(moto: &Moto, role_arn: &str, sts: &str) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    let auth = AwsAuth::WebIdentity {
        role_arn: role_arn.into(),
        token_file: write_web_identity_token(&dir),
        session_name: "claviger".into(),
        sts_endpoint_url: Some(sts.into()),
    };
    open(dir, &moto.address, auth, NO_CACHE, |_| {})
}

#[tokio::test]
async fn concurrent_reads_assume_the_role_once() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let reader = moto.role("reader", "secretsmanager:GetSecretValue").await;
    let other = moto.role("other", "secretsmanager:DescribeSecret").await;
    let rig = Arc::new(assuming(&moto, &reader, &moto.address));
    // The only call without a signature.
    moto.allow_unsigned_calls(1).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/a").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(rig.calls("login", "ok"), 1);

    let denied = assuming(&moto, &other, &moto.address);
    moto.allow_unsigned_calls(1).await;
    assert_eq!(denied.read("homelab/a").await, Err(Forbidden));
    assert_eq!(denied.stores.check_online().await, [("aws".into(), Ok(()))]);
    assert_eq!(denied.calls("login", "ok"), 1, "a forbidden secret causes no new login");
}

#[tokio::test]
async fn a_refused_role_is_forbidden_and_not_retried_by_every_caller() {
    let moto = Moto::start().await;
    let error = |code: &str| {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        )
    };
    for (line, code, read, online) in [
        ("403 Forbidden", "AccessDenied", Forbidden, OnlineError::Refused),
        ("400 Bad Request", "ExpiredTokenException", Forbidden, OnlineError::Refused),
        ("400 Bad Request", "InvalidIdentityToken", Forbidden, OnlineError::Refused),
        ("400 Bad Request", "IDPCommunicationError", Unavailable, OnlineError::Unavailable),
        ("503 Service Unavailable", "ServiceUnavailable", Unavailable, OnlineError::Unavailable),
    ] {
        let answer = crate::rig::fake::Reaction::Answer(line.into(), "Content-Type: text/xml\r\n".into(), error(code));
        let sts = Fake::start(move |_| answer.clone()).await;
        let rig = Arc::new(assuming(&moto, "arn:aws:iam::123456789012:role/x", &sts.address));
        let mut readers = tokio::task::JoinSet::new();
        for number in 0..50 {
            let rig = rig.clone();
            readers.spawn(async move { rig.read(&format!("homelab/{number}")).await });
        }
        assert!(readers.join_all().await.iter().all(|answer| *answer == Err(read)), "{code}");
        assert!(sts.requests() <= 3, "{code}: {} logins", sts.requests());
        assert_eq!(rig.stores.check_online().await, [("aws".into(), Err(online))], "{code}");
    }
}

/// A store that fetches its credentials from an agent.
fn using_agent(moto: &Moto, agent: &Fake) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    let token_file = write_web_identity_token(&dir);
    let auth = AwsAuth::ContainerCredentials { full_uri: format!("{}/v1/credentials", agent.address), token_file };
    open(dir, &moto.address, auth, NO_CACHE, |_| {})
}

#[tokio::test]
async fn container_credentials_are_requested_from_the_agent() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let role = moto.role("reader", "secretsmanager:GetSecretValue").await;
    let [id, secret, token] = moto.session(&role).await;
    let grants = format!(
        r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"{token}","Expiration":"2099-01-01T00:00:00Z"}}"#
    );
    let agent = Fake::start(move |line| {
        assert_eq!(line, "GET /v1/credentials HTTP/1.1");
        json(&grants)
    })
    .await;
    let rig = using_agent(&moto, &agent);
    for _ in 0..3 {
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    }
    assert_eq!((agent.requests(), rig.calls("login", "ok")), (1, 1));

    for (answer, read) in [
        (status("400 Bad Request"), Forbidden),
        (status("403 Forbidden"), Forbidden),
        (status("404 Not Found"), Forbidden),
        (status("500 Internal Server Error"), Unavailable),
        (status("429 Too Many Requests"), Unavailable),
        (status("307 Temporary Redirect"), Unavailable),
        (json("{}"), Unavailable),
        (
            json(r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2001-01-01T00:00:00Z"}"#),
            Unavailable,
        ),
    ] {
        let agent = Fake::start(move |_| answer.clone()).await;
        assert_eq!(using_agent(&moto, &agent).read("homelab/a").await, Err(read));
    }
}

#[tokio::test]
async fn rotated_keys_are_read_again_after_aws_refuses_the_old_ones() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let old = moto.user(USER).await;
    let rig = with_access_keys(&moto.address, &old, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    let new = moto.create_access_key(USER).await;
    moto.delete_key(USER, &old).await;
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden), "the files still hold the old key");
    new.write_into(rig.dir.path());
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "the first read succeeds");

    // An invalid file does not replace a working key.
    std::fs::write(rig.dir.path().join("access-key-id"), "").unwrap();
    assert_eq!(rig.stores.reload().await, []);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    let empty = with_access_keys(&moto.address, &unknown_keys(), NO_CACHE, |_| {});
    std::fs::remove_file(empty.dir.path().join("access-key-id")).unwrap();
    assert_eq!(empty.read("homelab/a").await, Err(Unavailable));
    assert_eq!(empty.stores.check_online().await, [("aws".into(), Err(OnlineError::Unavailable))]);
}

#[tokio::test]
async fn credentials_are_replaced_in_the_background_before_they_expire() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let role = moto.role("reader", "secretsmanager:GetSecretValue").await;
    let sessions = [moto.session(&role).await, moto.session(&role).await];
    let end = SystemClock.now() + jiff::SignedDuration::from_mins(10);
    let late = Arc::new(AtomicBool::new(false));
    let second = late.clone();
    let agent = Fake::start(move |_| {
        let [id, secret, token] = &sessions[usize::from(second.load(Ordering::SeqCst))];
        json(&format!(
            r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"{token}","Expiration":"{end}"}}"#
        ))
    })
    .await;
    let rig = using_agent(&moto, &agent);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    late.store(true, Ordering::SeqCst);
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(8)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "the first credentials are still valid");
    until("the second credentials", async || rig.calls("login", "ok") == 2).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(agent.requests(), 2);
}
