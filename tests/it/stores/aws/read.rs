//! Reading from moto's server: every class of answer that it can give.

use super::super::{NO_CACHE, single_value};
use super::{USER, unknown_keys, with_access_keys, with_keys};
use crate::rig::bao::until;
use crate::rig::moto::Moto;
use crate::rig::tcp_relay::TcpRelay;
use claviger::config::cache::Cache;
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{Absent, Deleted, Forbidden, Misconfigured, Unavailable};
use std::time::Duration;

/// No cached value is fresh, and every one may be served stale.
const STALE_ONLY: Cache = Cache { serve_stale_for: Duration::from_mins(10), max_entries: 10, ..NO_CACHE };

#[tokio::test]
async fn present_absent_deleted_and_malformed_secrets_are_distinguished() {
    let moto = Moto::start().await;
    let rig = with_keys(&moto, NO_CACHE).await;
    let version = moto.put("homelab/site/main", r#"{"K":"v"}"#).await;
    moto.put("homelab/deleted", r#"{"K":"v"}"#).await;
    moto.delete("homelab/deleted").await;
    moto.put("homelab/plain", "hunter2").await;
    moto.put_binary("homelab/binary").await;
    moto.put_without_value("homelab/no-value").await;

    assert_eq!(rig.read("homelab/site/main").await, single_value("K", "v"));
    assert_eq!(rig.lease("homelab/site/main").await.unwrap().version, Some(version));
    for (path, error) in [
        ("homelab/site/other", Absent),
        ("homelab/site", Absent),
        ("homelab/no-value", Absent),
        ("homelab/deleted", Deleted),
        ("homelab/plain", Misconfigured),
        ("homelab/binary", Misconfigured),
    ] {
        assert_eq!(rig.read(path).await, Err(error), "{path}");
    }
    let counts = ["ok", "absent", "deleted", "misconfigured"].map(|outcome| rig.calls("read", outcome));
    assert_eq!(counts, [2, 3, 1, 2]);
}

#[tokio::test]
async fn a_branch_with_a_slash_has_its_own_secret() {
    let moto = Moto::start().await;
    let rig = with_keys(&moto, NO_CACHE).await;
    moto.put("homelab/site/feature+x", r#"{"K":"plus"}"#).await;
    moto.put("homelab/site/feature/x", r#"{"K":"slash"}"#).await;
    moto.put("homelab/site/feature=2Bx", r#"{"K":"escaped"}"#).await;
    assert_eq!(rig.read("homelab/site/feature~x").await, single_value("K", "plus"));
    assert_eq!(rig.read("homelab/site/feature/x").await, single_value("K", "slash"));
    assert_eq!(rig.read("homelab/site/feature=2Bx").await, single_value("K", "escaped"));
}

#[tokio::test]
async fn a_secret_that_becomes_forbidden_is_removed_from_the_cache() {
    let mut moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let rig = with_keys(&moto, STALE_ONLY).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    moto.allow(USER, "secretsmanager:DescribeSecret").await;
    for path in ["homelab/a", "homelab/none"] {
        assert_eq!(rig.read(path).await, Err(Forbidden), "{path}: forbidden hides whether it exists");
    }
    assert_eq!(rig.stores.check_online().await, [("aws".into(), Ok(()))]);
    moto.allow(USER, "secretsmanager:GetSecretValue").await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    moto.allow(USER, "secretsmanager:DescribeSecret").await;
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    moto.stop();
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "after a refusal nothing is cached");
}

#[tokio::test]
async fn unknown_access_keys_are_forbidden() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let mut forged = moto.user(USER).await;
    let good = with_access_keys(&moto.address, &forged, NO_CACHE, |_| {});
    assert_eq!(good.read("homelab/a").await, single_value("K", "v"));
    forged.secret = unknown_keys().secret;
    for keys in [unknown_keys(), forged] {
        let rig = with_access_keys(&moto.address, &keys, NO_CACHE, |_| {});
        assert_eq!(rig.read("homelab/a").await, Err(Forbidden), "{}", keys.id);
        assert_eq!(rig.stores.check_online().await, [("aws".into(), Err(OnlineError::Refused))]);
        assert_eq!(rig.calls("read", "ok"), 0);
    }
}

#[tokio::test]
async fn the_cache_serves_stale_secrets_during_an_outage_up_to_its_limit() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let keys = moto.user(USER).await;
    let relay = TcpRelay::to(moto.port());
    let address = format!("http://127.0.0.1:{}", relay.port);
    let bridged = with_access_keys(&address, &keys, STALE_ONLY, |_| {});
    let plain = with_access_keys(&address, &keys, NO_CACHE, |_| {});
    for rig in [&bridged, &plain] {
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
        assert_eq!(rig.read("homelab/none").await, Err(Absent));
    }
    relay.disconnect();
    for _ in 0..10 {
        assert_eq!(plain.read("homelab/a").await, Err(Unavailable));
        let lease = bridged.lease("homelab/a").await.unwrap();
        assert!(lease.stale && lease.data.contains_key("K"));
        assert_eq!(bridged.read("homelab/none").await, Err(Unavailable), "a cached absence is not served stale");
    }
    assert_eq!(plain.stores.check_online().await, [("aws".into(), Err(OnlineError::Unavailable))]);
    // Five, and one or two probes on a busy machine.
    assert!((5..9).contains(&plain.calls("read", "unavailable")), "then the breaker is open");

    // The cache counts its time with tokio's clock.
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(11)).await;
    tokio::time::resume();
    assert_eq!(bridged.read("homelab/a").await, Err(Unavailable), "the cached secret is too old");

    relay.reconnect();
    until("the breaker to close", async || plain.read("homelab/a").await == single_value("K", "v")).await;
    until("a fresh lease", async || bridged.lease("homelab/a").await.is_ok_and(|lease| !lease.stale)).await;
}

#[tokio::test]
async fn concurrent_requests_for_a_secret_share_one_call() {
    let moto = Moto::start().await;
    moto.put("homelab/a", r#"{"K":"v"}"#).await;
    let minute = Duration::from_mins(1);
    let cache = Cache { ttl: minute, negative_ttl: minute, serve_stale_for: minute, max_entries: 10 };
    let rig = std::sync::Arc::new(with_keys(&moto, cache).await);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/a").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(rig.calls("read", "ok"), 1);
}
