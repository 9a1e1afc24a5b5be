//! The broker's own token at a real OpenBao: from a file, by `AppRole`, valid and expired.

use super::{NO_CACHE, StoreRig, single_value};
use crate::rig::bao::{Bao, until};
use claviger::config::stores::VaultAuthMethod;
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{Forbidden, Misconfigured, Unavailable};
use std::sync::Arc;

const READ_ALL: &str = r#"path "homelab/data/*" { capabilities = ["read"] }"#;

/// An OpenBao with a secret and a policy to read it.
async fn bao_with_a_secret() -> Bao {
    let bao = Bao::start().await;
    bao.put("homelab/a", &[("K", "v")]).await;
    bao.policy("reader", READ_ALL).await;
    bao
}

fn app_role(bao: &Bao, role_id: &str, secret_id: &str) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    let secret_id_file = dir.path().join("token");
    std::fs::write(&secret_id_file, format!("{secret_id}\n")).unwrap();
    let auth = VaultAuthMethod::AppRole { mount: "approle".into(), role_id: role_id.into(), secret_id_file };
    StoreRig::open(dir, &bao.address, auth, NO_CACHE, |_| {})
}

/// The accessors of the tokens that `AppRole` issued.
async fn logins(bao: &Bao) -> Vec<String> {
    let mut found = Vec::new();
    for accessor in bao.accessors().await {
        let body = format!("{{\"accessor\":\"{accessor}\"}}");
        let (_, token) = bao.call(reqwest::Method::POST, "auth/token/lookup-accessor", &body).await;
        if token["data"]["path"] == "auth/approle/login" {
            found.push(accessor);
        }
    }
    found
}

#[tokio::test]
async fn concurrent_reads_cause_one_login() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    let rig = Arc::new(app_role(&bao, &role_id, &secret_id));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/a").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(logins(&bao).await.len(), 1);
    assert_eq!(rig.stores.check_online().await, [("vault".into(), Ok(()))]);
}

#[tokio::test]
async fn refused_credentials_do_not_make_a_secret_absent() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    for (role, secret) in [(role_id.as_str(), "wrong"), ("wrong", secret_id.as_str())] {
        let rig = app_role(&bao, role, secret);
        // OpenBao answers 400 in both cases.
        assert_eq!(rig.read("homelab/a").await, Err(Misconfigured));
        assert_eq!(rig.stores.check_online().await, [("vault".into(), Err(OnlineError::Misconfigured))]);
    }
    let wrong = StoreRig::with_token(&bao.address, "s.wrong");
    assert_eq!(wrong.read("homelab/a").await, Err(Forbidden));
    assert_eq!(wrong.stores.check_online().await, [("vault".into(), Err(OnlineError::Refused))]);
    for unusable in ["", "two words", "\u{e9}"] {
        let rig = StoreRig::with_token(&bao.address, unusable);
        assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "{unusable:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_a_login() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    let rig = app_role(&bao, &role_id, &secret_id);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    for (round, path) in ["homelab/a", "homelab/a"].into_iter().enumerate() {
        let alive = logins(&bao).await;
        assert_eq!(alive.len(), 1, "round {round}");
        let body = format!("{{\"accessor\":\"{}\"}}", alive[0]);
        bao.call(reqwest::Method::POST, "auth/token/revoke-accessor", &body).await;
        assert_eq!(logins(&bao).await.len(), 0);
        assert_eq!(rig.read(path).await, single_value("K", "v"), "round {round}");
    }
}

#[tokio::test]
async fn a_403_of_the_preflight_causes_a_login_if_the_token_was_revoked() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    let rig = app_role(&bao, &role_id, &secret_id);
    until("the first login", async || rig.calls("login", "ok") > 0).await;
    let body = format!("{{\"accessor\":\"{}\"}}", logins(&bao).await[0]);
    bao.call(reqwest::Method::POST, "auth/token/revoke-accessor", &body).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(rig.calls("preflight", "misconfigured"), 1);
}

#[tokio::test]
async fn a_valid_token_is_not_replaced_after_a_403() {
    let bao = bao_with_a_secret().await;
    bao.enable_kv_v2("closed").await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    let rig = app_role(&bao, &role_id, &secret_id);
    bao.policy("reader", r#"path "homelab/data/b" { capabilities = ["read"] }"#).await;
    for _ in 0..3 {
        assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
        assert_eq!(rig.read("closed/a").await, Err(Misconfigured));
    }
    assert_eq!(logins(&bao).await.len(), 1);
}

#[tokio::test]
async fn a_token_that_may_not_look_itself_up_is_replaced_once() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    let role = r#"{"token_policies":["reader"],"token_no_default_policy":true}"#;
    bao.call(reqwest::Method::POST, "auth/approle/role/broker", role).await;
    let rig = app_role(&bao, &role_id, &secret_id);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    bao.policy("reader", r#"path "homelab/data/b" { capabilities = ["read"] }"#).await;
    for _ in 0..10 {
        assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    }
    assert_eq!(logins(&bao).await.len(), 2, "the first login, and one after the 403");
    assert_eq!(rig.stores.check_online().await, [("vault".into(), Ok(()))]);
}

#[tokio::test]
async fn reads_with_a_revoked_token_file_are_forbidden_until_the_file_is_replaced() {
    let bao = bao_with_a_secret().await;
    let (first, second) = (bao.token(&["reader"], "1h").await, bao.token(&["reader"], "1h").await);
    let rig = StoreRig::with_token(&bao.address, &first);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    bao.revoke(&first).await;
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    std::fs::write(rig.token_file(), &second).unwrap();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
}

#[tokio::test]
async fn a_replaced_token_file_is_used_and_an_unreadable_one_is_ignored() {
    let bao = bao_with_a_secret().await;
    let (first, second) = (bao.token(&["reader"], "1h").await, bao.token(&["default"], "1h").await);
    let rig = StoreRig::with_token(&bao.address, &first);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    for broken in ["", "no token"] {
        std::fs::write(rig.token_file(), broken).unwrap();
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    }
    std::fs::remove_file(rig.token_file()).unwrap();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(rig.stores.reload().await, []);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));

    // Both files exist at once, so the new one has another inode, as with a projected volume.
    let next = rig.dir.path().join("next");
    std::fs::write(&next, &second).unwrap();
    std::fs::rename(&next, rig.token_file()).unwrap();
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden), "the second token may read nothing");
}

#[tokio::test]
async fn tokens_are_renewed_before_they_expire() {
    let bao = bao_with_a_secret().await;
    let token = bao.token(&["reader"], "3s").await;
    let from_file = StoreRig::with_token(&bao.address, &token);
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "3s").await;
    let by_role = app_role(&bao, &role_id, &secret_id);
    for rig in [&from_file, &by_role] {
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    }
    until("two renewals each", async || from_file.calls("renew", "ok") > 1 && by_role.calls("renew", "ok") > 1).await;
    assert!(bao.look_up(&token).await.unwrap()["last_renewal"].is_string());
    assert_eq!(logins(&bao).await.len(), 1);
    for rig in [&from_file, &by_role] {
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    }
}

#[tokio::test]
async fn a_token_at_its_maximum_lifetime_is_replaced_before_it_expires() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "2s").await;
    let role = r#"{"token_policies":["reader"],"token_ttl":"2s","token_max_ttl":"3s"}"#;
    bao.call(reqwest::Method::POST, "auth/approle/role/broker", role).await;
    let rig = app_role(&bao, &role_id, &secret_id);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    until("another login", async || rig.calls("login", "ok") > 1).await;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(rig.calls("read", "forbidden"), 0);
}

/// Reads this many secrets with twenty readers.
async fn read_by_twenty(
    rig: &Arc<StoreRig>,
    secrets: usize,
) -> Vec<Result<super::Values, claviger::stores::ReadError>> {
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..20 {
        let rig = rig.clone();
        readers.spawn(async move {
            let mut answers = Vec::new();
            for number in (reader..secrets).step_by(20) {
                answers.push(rig.read(&format!("homelab/{number}")).await);
            }
            answers
        });
    }
    readers.join_all().await.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_with_num_uses_are_replaced_before_their_last_use() {
    let bao = bao_with_a_secret().await;
    for number in 0..60 {
        bao.put(&format!("homelab/{number}"), &[("K", "v")]).await;
    }
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    for uses in [1, 2, 3, 5, 10] {
        bao.limit_uses("broker", &["reader"], uses).await;
        let rig = Arc::new(app_role(&bao, &role_id, &secret_id));
        let answers = read_by_twenty(&rig, 60).await;
        assert_eq!(answers.len(), 60);
        assert!(answers.iter().all(|answer| *answer == single_value("K", "v")), "{uses} uses: {answers:?}");
        assert_eq!(rig.calls("read", "forbidden"), 0, "{uses} uses");
        // Sixty reads, some preflights, and one more login if many readers needed one at once.
        let fewest = 60 / u64::from(uses);
        let logins = rig.calls("login", "ok");
        assert!((fewest..=fewest + 25).contains(&logins), "{uses} uses: {logins} logins");
        assert_eq!(rig.stores.check_online().await, [("vault".into(), Ok(()))], "{uses} uses");
    }
}

#[tokio::test]
async fn a_forbidden_path_with_a_num_uses_token_is_forbidden_and_causes_few_logins() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    bao.policy("reader", r#"path "homelab/data/a" { capabilities = ["read"] }"#).await;
    for uses in [1, 2, 10] {
        bao.limit_uses("broker", &["reader"], uses).await;
        let rig = app_role(&bao, &role_id, &secret_id);
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
        assert_eq!(rig.read("homelab/closed").await, Err(Forbidden), "{uses} uses");
        let before = rig.calls("login", "ok");
        for _ in 0..20 {
            let answer = rig.read("homelab/closed").await;
            assert!([Err(Forbidden), Err(Unavailable)].contains(&answer), "{uses} uses: {answer:?}");
            assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "{uses} uses");
        }
        let logins = rig.calls("login", "ok") - before;
        let needed = 40 / u64::from(uses);
        assert!(logins <= needed + 10, "{uses} uses: {logins} logins for 40 reads");
    }
}

#[tokio::test]
async fn a_revoked_num_uses_token_is_replaced() {
    let bao = bao_with_a_secret().await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    bao.limit_uses("broker", &["reader"], 100).await;
    let rig = app_role(&bao, &role_id, &secret_id);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    for accessor in logins(&bao).await {
        bao.call(reqwest::Method::POST, "auth/token/revoke-accessor", &format!("{{\"accessor\":\"{accessor}\"}}"))
            .await;
    }
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
}
