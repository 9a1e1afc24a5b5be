//! Reading from a real OpenBao: every class of answer that it can give.

use super::{NO_CACHE, StoreRig, single_value};
use crate::rig::bao::{Bao, until};
use claviger::config::cache::Cache;
use claviger::model::request_id::RequestId;
use claviger::model::secret_ref::SecretRef;
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{Absent, Deleted, Forbidden, Misconfigured, Unavailable};
use claviger::trust::ConnectFailure;
use std::time::Duration;

#[tokio::test]
async fn present_absent_deleted_and_destroyed_secrets_are_distinguished() {
    let bao = Bao::start().await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    for path in ["homelab/site/main", "homelab/deleted", "homelab/destroyed", "homelab/emptied"] {
        bao.put(path, &[("K", "v")]).await;
    }
    bao.delete("homelab/deleted").await;
    bao.destroy("homelab/destroyed").await;
    bao.put("homelab/emptied", &[]).await;

    assert_eq!(rig.read("homelab/site/main").await, single_value("K", "v"));
    assert_eq!(rig.read("homelab/site/other").await, Err(Absent));
    assert_eq!(rig.read("homelab/site").await, Err(Absent), "a folder is not a secret");
    assert_eq!(rig.read("homelab/deleted").await, Err(Deleted));
    assert_eq!(rig.read("homelab/destroyed").await, Err(Deleted));
    assert_eq!(rig.read("homelab/emptied").await, Ok([].into()));

    bao.put("homelab/deleted", &[("K", "again")]).await;
    assert_eq!(rig.read("homelab/deleted").await, single_value("K", "again"));
    let lease = rig.lease("homelab/deleted").await.unwrap();
    assert_eq!((lease.version.as_deref(), lease.stale), (Some("2"), false));
}

#[tokio::test]
async fn paths_without_a_readable_engine_are_misconfigured_and_never_absent() {
    let bao = Bao::start().await;
    bao.enable("transit", r#"{"type":"transit"}"#).await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    for path in ["nomount/x", "nomount", "homelab", "transit/keys/x"] {
        assert_eq!(rig.read(path).await, Err(Misconfigured), "{path}");
    }
    let nowhere = StoreRig::new(&bao.address, &bao.root, NO_CACHE, |vault| vault.namespace = Some("nowhere".into()));
    assert_eq!(nowhere.read("homelab/x").await, Err(Misconfigured));

    let unknown = SecretRef { store: "other".into(), path: "homelab/x".into() };
    assert_eq!(rig.stores.read(&unknown, &RequestId::random()).await, Err(Misconfigured));
}

#[tokio::test]
async fn system_mounts_and_invalid_paths_are_refused_without_a_call() {
    let bao = Bao::start().await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    for path in [
        "auth/token/lookup-self",
        "sys/health",
        "sys/internal/ui/mounts",
        "identity/entity/id",
        "cubbyhole/x",
        "/homelab/site",
        "homelab//site",
        "homelab/../auth/token/lookup-self",
        "homelab/./site",
        "homelab/site\0",
        "homelab/site\n",
        "",
    ] {
        assert_eq!(rig.read(path).await, Err(Misconfigured), "{path}");
    }
    for outcome in ["ok", "misconfigured"] {
        assert_eq!((rig.calls("preflight", outcome), rig.calls("read", outcome)), (0, 0));
    }
    bao.put("homelab/site", &[("K", "v")]).await;
    assert_eq!(rig.read("homelab/site").await, single_value("K", "v"));
}

#[tokio::test]
async fn any_printable_name_is_sent_as_one_path_segment() {
    let bao = Bao::start().await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    bao.put("homelab/site", &[("K", "site")]).await;
    for (encoded, path) in [
        ("homelab/Team%20A/site", "homelab/Team A/site"),
        ("homelab/rds%21cluster-1a96", "homelab/rds!cluster-1a96"),
        ("homelab/a%40b/my%2Bapp", "homelab/a@b/my+app"),
        ("homelab/caf%C3%A9", "homelab/café"),
        ("homelab/%252e%252e/site", "homelab/%2e%2e/site"),
        ("homelab/a%2525b", "homelab/a%25b"),
        ("homelab/site%3Fversion=1", "homelab/site?version=1"),
        ("homelab/site%23x", "homelab/site#x"),
        ("homelab/%7Brepo%7D", "homelab/{repo}"),
    ] {
        assert_eq!(rig.read(path).await, Err(Absent), "{path}");
        bao.put(encoded, &[("K", path)]).await;
        assert_eq!(rig.read(path).await, single_value("K", path));
    }
    assert_eq!(rig.read("homelab/site").await, single_value("K", "site"));
    for path in ["homelab/Team%20A/site", "homelab/Team  A/site"] {
        assert!(rig.read(path).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_namespace_in_the_path_leads_to_no_system_mount_either() {
    let bao = Bao::start().await;
    let (status, _) = bao.call(reqwest::Method::POST, "sys/namespaces/ns1", "").await;
    assert_eq!(status, 200);
    let kv = r#"{"type":"kv","options":{"version":"2"}}"#;
    assert_eq!(bao.call(reqwest::Method::POST, "ns1/sys/mounts/kv", kv).await.0, 204);
    let ready = async || bao.call(reqwest::Method::GET, "ns1/kv/config", "").await.0 == 200;
    until("the KV v2 mount to be ready", ready).await;
    bao.put("ns1/kv/a", &[("K", "v")]).await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    for path in ["ns1/auth/token/lookup-self", "ns1/sys/health", "ns1/cubbyhole/x", "ns1/identity/x"] {
        assert_eq!(rig.read(path).await, Err(Misconfigured), "{path}");
    }
    assert_eq!(rig.read("ns1/kv/a").await, single_value("K", "v"));
    let inside = StoreRig::new(&bao.address, &bao.root, NO_CACHE, |vault| vault.namespace = Some("ns1".into()));
    assert_eq!(inside.read("kv/a").await, single_value("K", "v"));
    assert_eq!(inside.stores.check_online().await, [("vault".into(), Ok(()))]);
}

#[tokio::test]
async fn mounts_with_slashes_and_kv_version_1_are_found() {
    let bao = Bao::start().await;
    bao.enable_kv_v2("team/kv").await;
    bao.enable_kv_v1("old").await;
    bao.put("team/kv/a/b", &[("K", "two")]).await;
    bao.put("old/a/b", &[("K", "one"), ("data", "x")]).await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    assert_eq!(rig.read("team/kv/a/b").await, single_value("K", "two"));
    assert_eq!(rig.read("team/kv/a").await, Err(Absent));
    assert_eq!(rig.read("team/x").await, Err(Misconfigured));
    let lease = rig.lease("old/a/b").await.unwrap();
    assert_eq!((lease.data.len(), &lease.version), (2, &None));
    assert_eq!(rig.read("old/none").await, Err(Absent));
    bao.delete("old/a/b").await;
    assert_eq!(rig.read("old/a/b").await, Err(Absent), "KV v1 remembers nothing");
    assert_eq!(rig.calls("preflight", "ok"), 2, "a cached mount is not looked up again");
}

#[tokio::test]
async fn a_replaced_mount_is_looked_up_again() {
    let bao = Bao::start().await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    bao.put("homelab/a", &[("K", "two")]).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "two"));
    bao.disable("homelab").await;
    assert_eq!(rig.read("homelab/a").await, Err(Misconfigured));
    bao.enable_kv_v1("homelab").await;
    bao.put("homelab/a", &[("K", "one")]).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "one"));
    bao.disable("homelab").await;
    bao.enable_kv_v2("homelab").await;
    bao.put("homelab/a", &[("K", "two again")]).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "two again"), "the first read succeeds");

    // KV v1 answers a read in the form of KV v2 with "not found". The broker trusts that only right after it
    // looked up the mount.
    bao.disable("homelab").await;
    bao.enable_kv_v1("homelab").await;
    bao.put("homelab/a", &[("K", "one again")]).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "one again"), "the first read succeeds");
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let bao = Bao::start().await;
    bao.enable_kv_v1("old").await;
    let values = r#"{"s":"a\n\"<é\u2028😀\u0001","n":1.50,"big":12345678901234567890123.0,"neg":-0.0,"b":true,"f":false,"z":null,"e":"","o":{"b":[1.0, "x y"],"a":null}}"#;
    bao.put_json("old/a", values).await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    let read = rig.read("old/a").await.unwrap();
    for (key, expected) in [
        ("s", Some("a\n\"<é\u{2028}😀\u{1}")),
        ("n", Some("1.50")),
        ("big", Some("12345678901234567890123.0")),
        ("neg", Some("-0.0")),
        ("b", Some("true")),
        ("f", Some("false")),
        ("z", None),
        ("e", Some("")),
        ("o", Some(r#"{"a":null,"b":[1.0,"x y"]}"#)),
    ] {
        assert_eq!(read[key].as_deref(), expected, "{key}");
    }
    assert_eq!(read.len(), 9);

    // KV v2 stores floating-point numbers; the broker returns what it receives.
    bao.put_json("homelab/a", r#"{"i":12345678901,"long":12345678901234567890123}"#).await;
    let read = rig.read("homelab/a").await.unwrap();
    assert_eq!(read["i"].as_deref(), Some("12345678901"));
    assert_eq!(read["long"].as_deref(), Some("1.2345678901234568e+22"));
}

#[tokio::test]
async fn a_path_that_the_token_may_not_read_is_forbidden() {
    let bao = Bao::start().await;
    bao.put("homelab/mine/a", &[("K", "v")]).await;
    bao.put("homelab/yours/a", &[("K", "v")]).await;
    bao.enable_kv_v2("closed").await;
    bao.policy("mine", r#"path "homelab/data/mine/*" { capabilities = ["read"] }"#).await;
    let token = bao.token(&["mine"], "1h").await;
    let rig = StoreRig::with_token(&bao.address, &token);
    assert_eq!(rig.read("homelab/mine/a").await, single_value("K", "v"));
    assert_eq!(rig.read("homelab/mine/none").await, Err(Absent));
    assert_eq!(rig.read("homelab/yours/a").await, Err(Forbidden));
    assert_eq!(rig.read("homelab/yours/none").await, Err(Forbidden), "forbidden hides whether it exists");
    assert_eq!(rig.read("closed/a").await, Err(Misconfigured), "OpenBao gives the same answer for a missing mount");
    assert!(bao.look_up(&token).await.is_some());
}

#[tokio::test]
async fn the_cache_serves_secrets_while_the_server_is_sealed_or_stopped() {
    let mut bao = Bao::start().await;
    bao.put("homelab/a", &[("K", "v")]).await;
    let cache = Cache { ttl: Duration::ZERO, serve_stale_for: Duration::from_mins(10), max_entries: 10, ..NO_CACHE };
    let bridged = StoreRig::new(&bao.address, &bao.root, cache, |_| {});
    let plain = StoreRig::with_token(&bao.address, &bao.root);
    for rig in [&bridged, &plain] {
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
        assert_eq!(rig.read("homelab/none").await, Err(Absent));
        assert_eq!(rig.stores.check_online().await, [("vault".into(), Ok(()))]);
    }
    bao.seal().await;
    let sealed = [("vault".into(), Err(OnlineError::Sealed))];
    assert_eq!(plain.stores.check_online().await, sealed);
    for state in ["sealed", "stopped"] {
        assert_eq!(plain.read("homelab/a").await, Err(Unavailable), "{state}");
        let lease = bridged.lease("homelab/a").await.unwrap();
        assert!(lease.stale && lease.data.contains_key("K"), "{state}");
        assert_eq!(
            bridged.read("homelab/none").await,
            Err(Unavailable),
            "{state}: a cached absence is not served stale"
        );
        bao.stop();
    }
    let nobody = OnlineError::Unconnected(ConnectFailure::Refused);
    assert_eq!(plain.stores.check_online().await, [("vault".into(), Err(nobody))]);
}

#[tokio::test]
async fn a_refusal_removes_the_secret_from_the_cache() {
    let mut bao = Bao::start().await;
    bao.put("homelab/a", &[("K", "v")]).await;
    bao.policy("p", r#"path "homelab/data/*" { capabilities = ["read"] }"#).await;
    let token = bao.token(&["p"], "1h").await;
    let cache = Cache { ttl: Duration::ZERO, serve_stale_for: Duration::from_mins(10), max_entries: 10, ..NO_CACHE };
    let rig = StoreRig::new(&bao.address, &token, cache, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    bao.policy("p", r#"path "homelab/data/other" { capabilities = ["read"] }"#).await;
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    bao.stop();
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable));
}

#[tokio::test]
async fn a_cached_secret_needs_no_call() {
    let bao = Bao::start().await;
    bao.put("homelab/a", &[("K", "v")]).await;
    let minute = Duration::from_mins(1);
    let cache = Cache { ttl: minute, negative_ttl: minute, serve_stale_for: Duration::ZERO, max_entries: 10 };
    let rig = StoreRig::new(&bao.address, &bao.root, cache, |_| {});
    for _ in 0..3 {
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
        assert_eq!(rig.read("homelab/none").await, Err(Absent));
    }
    assert_eq!((rig.calls("read", "ok"), rig.calls("read", "absent"), rig.calls("preflight", "ok")), (1, 1, 1));
}

#[tokio::test]
async fn only_servers_with_a_certificate_of_the_ca_file_are_trusted() {
    let bao = Bao::start_tls().await;
    bao.put("homelab/a", &[("K", "v")]).await;
    let trusting = StoreRig::new(&bao.address, &bao.root, NO_CACHE, |vault| vault.ca_file = Some(bao.ca_file()));
    assert_eq!(trusting.read("homelab/a").await, single_value("K", "v"));

    let other = Bao::start_tls().await;
    let roots = tempfile::tempdir().unwrap();
    let ca_file = roots.path().join("ca.pem");
    std::fs::copy(other.ca_file(), &ca_file).unwrap();
    let rig = StoreRig::new(&bao.address, &bao.root, NO_CACHE, |vault| vault.ca_file = Some(ca_file.clone()));
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable));

    std::fs::write(&ca_file, "no certificate").unwrap();
    assert_eq!(rig.stores.reload().await.len(), 1, "an invalid CA file is reported and not used");
    std::fs::copy(bao.ca_file(), &ca_file).unwrap();
    // Five failed calls have opened the circuit breaker, which probes a second later.
    until("the new CA file to be read, without a reload", async || {
        rig.read("homelab/a").await == single_value("K", "v")
    })
    .await;
    assert_eq!(rig.stores.reload().await, []);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
}

#[tokio::test]
async fn a_secret_written_as_null_has_no_keys() {
    let bao = Bao::start().await;
    bao.put_json("homelab/nothing", "null").await;
    bao.put_json("homelab/empty", "{}").await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    for path in ["homelab/nothing", "homelab/empty"] {
        assert_eq!(rig.read(path).await, Ok(std::collections::BTreeMap::new()), "{path}");
        assert_eq!(rig.lease(path).await.unwrap().version.as_deref(), Some("1"), "{path}");
    }
    bao.put_json("homelab/nothing", r#"{"K":"v"}"#).await;
    assert_eq!(rig.read("homelab/nothing").await, super::single_value("K", "v"));
    bao.delete("homelab/nothing").await;
    assert_eq!(rig.read("homelab/nothing").await, Err(claviger::stores::ReadError::Deleted));
}

#[tokio::test]
async fn a_static_mount_replaced_by_a_dynamic_one_is_misconfigured_and_its_lease_revoked() {
    let bao = Bao::start().await;
    bao.enable_kv_v1("database").await;
    bao.put("database/creds/app", &[("K", "v")]).await;
    let rig = StoreRig::with_token(&bao.address, &bao.root);
    assert_eq!(
        rig.read("database/creds/app").await,
        super::single_value("K", "v"),
        "the mount is cached as static now"
    );
    bao.disable("database").await;
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    for _ in 0..3 {
        assert_eq!(rig.read("database/creds/app").await, Err(claviger::stores::ReadError::Misconfigured));
    }
    until("the one lease to be revoked", async || rig.calls("revoke", "ok") == 1).await;
    assert_eq!(bao.leases_of("app").await, 0);
}
