//! Engines that need a write to return a secret, at a real OpenBao: certificates with and without a lease, and
//! paths that are never written to.

use super::{Bao, LeaseEventKind, LeaseManager, Method, PER_POD, SHARED, TestDatabase, pod};
use claviger::model::caller::Caller;
use claviger::model::lease::LeaseMode;
use claviger::model::request_id::RequestId;
use claviger::model::secret::Secret;
use claviger::model::secret_ref::SecretRef;
use claviger::model::write_body::WriteBody;
use claviger::stores::{EngineMismatch, FetchError, ReadError, ReadRequest};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// An OpenBao with a CA and two roles; certificates of `leased` have leases.
async fn bao() -> Bao {
    let bao = Bao::start().await;
    let post = async |path: &str, body: Value| {
        let (status, answer) = bao.call(Method::POST, path, &body.to_string()).await;
        assert!(matches!(status, 200 | 204), "{path}: {answer}");
    };
    bao.enable("pki", r#"{"type":"pki"}"#).await;
    post("pki/root/generate/internal", json!({"common_name": "root", "key_type": "ec"})).await;
    for (role, leased) in [("web", false), ("leased", true)] {
        let body = json!({"allow_any_name": true, "generate_lease": leased, "max_ttl": "1h", "key_type": "ec"});
        post(&format!("pki/roles/{role}"), body).await;
    }
    bao.enable("ssh", r#"{"type":"ssh"}"#).await;
    post("ssh/config/ca", json!({"generate_signing_key": true})).await;
    let sign = json!({"key_type": "ca", "allow_user_certificates": true, "allowed_users": "git", "ttl": "10m",
        "default_user": "git"});
    post("ssh/roles/git", sign).await;
    bao
}

impl LeaseManager {
    async fn written(
        &self,
        path: &str,
        mode: LeaseMode,
        caller: &Arc<Caller>,
        write: Option<Value>,
    ) -> Result<Arc<Secret>, FetchError> {
        let secret = SecretRef { store: "vault".into(), path: path.into() };
        let write = write.map(|body| WriteBody::new(body.as_object().unwrap().clone()));
        let (request, life) = (RequestId::random(), Duration::ZERO);
        let granted = ReadRequest {
            secret: &secret,
            mode,
            caller,
            min_lifetime: life,
            write: write.as_ref(),
            pods_only: false,
            request_id: &request,
        };
        self.stores.read_for_caller(granted).await.map(|reading| reading.secret)
    }

    #[expect(clippy::disallowed_methods, reason = "what came is what is tested")]
    async fn serial(&self, role: &str, mode: LeaseMode, caller: &Arc<Caller>, name: &str) -> String {
        let write = Some(json!({"common_name": name}));
        let lease = self.written(&format!("pki/issue/{role}"), mode, caller, write).await.unwrap();
        assert!(lease.data["private_key"].as_ref().unwrap().expose_secret().contains("PRIVATE KEY"));
        lease.data["serial_number"].as_ref().unwrap().expose_secret().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_issued_by_a_write_for_one_caller() {
    let (bao, db) = (bao().await, TestDatabase::sqlite());
    let manager = LeaseManager::new(&db, &bao).await;
    let (one, two) = (pod("one"), pod("two"));
    for mode in [PER_POD, SHARED] {
        let (first, second) = tokio::join!(
            manager.serial("web", mode, &one, "site.internal"),
            manager.serial("web", mode, &two, "site.internal")
        );
        assert_ne!(first, second, "{mode:?}");
    }
    assert_eq!(manager.count(LeaseEventKind::Acquired), 0, "without a lease there is nothing to look after");

    let leased = manager.serial("leased", PER_POD, &one, "site.internal").await;
    assert_eq!(manager.serial("leased", PER_POD, &one, "site.internal").await, leased);
    assert_ne!(manager.serial("leased", PER_POD, &one, "other.internal").await, leased, "another write");
    assert_ne!(manager.serial("leased", PER_POD, &two, "site.internal").await, leased, "another pod");
    assert_eq!(manager.count(LeaseEventKind::Acquired), 3);
    assert_eq!(manager.active(), 3);
    let shared = manager.serial("leased", SHARED, &one, "site.internal").await;
    assert_eq!(manager.serial("leased", SHARED, &two, "site.internal").await, shared);
}

/// A public key without a known private key.
const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f build";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "what came is what is tested")]
async fn a_public_key_is_signed_by_a_write() {
    let (bao, db) = (bao().await, TestDatabase::sqlite());
    let manager = LeaseManager::new(&db, &bao).await;
    let caller = pod("one");
    let write = |user: &str| Some(json!({"public_key": PUBLIC_KEY, "valid_principals": user}));
    let signed = manager.written("ssh/sign/git", PER_POD, &caller, write("git")).await.unwrap();
    assert!(
        signed.data["signed_key"].as_ref().unwrap().expose_secret().starts_with("ssh-ed25519-cert-v01@openssh.com ")
    );
    let refused = manager.written("ssh/sign/git", PER_POD, &caller, write("root")).await.map(|_| ());
    assert_eq!(refused, Err(FetchError::Store(ReadError::Misconfigured)));
    let unwritten = manager.written("ssh/sign/git", PER_POD, &caller, None).await.map(|_| ());
    assert_eq!(unwritten, Err(FetchError::Store(EngineMismatch::WriteRequired.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_engine_is_reported_and_a_static_secret_is_never_overwritten() {
    let (bao, db) = (bao().await, TestDatabase::sqlite());
    bao.put("homelab/a", &[("K", "v")]).await;
    bao.enable_kv_v1("old").await;
    bao.put("old/a", &[("K", "v")]).await;
    let manager = LeaseManager::new(&db, &bao).await;
    let caller = pod("one");
    let write = || Some(json!({"common_name": "site.internal"}));
    for (path, write, expected) in [
        ("pki/issue/web", None, EngineMismatch::WriteRequired.into()),
        ("ssh/issue/none", None, EngineMismatch::WriteRequired.into()),
        ("pki/ca/pem", None, EngineMismatch::NotJson.into()),
        ("ssh/public_key", None, EngineMismatch::NotJson.into()),
        ("pki/issue/none", write(), ReadError::Misconfigured),
        ("pki/issue/web", Some(json!({})), ReadError::Misconfigured),
        ("homelab/a", write(), EngineMismatch::StaticEngine.into()),
        ("old/a", write(), EngineMismatch::StaticEngine.into()),
    ] {
        let asked = write.is_some();
        let answer = manager.written(path, PER_POD, &caller, write).await.map(|_| ());
        assert_eq!(answer, Err(FetchError::Store(expected)), "{path}, written: {asked}");
    }
    for path in ["homelab/a", "old/a"] {
        assert!(manager.written(path, PER_POD, &caller, None).await.unwrap().data.contains_key("K"), "{path}");
    }
}
