//! Connections to Vault: certificates of both sides, a path prefix, a proxy, and the `jwt` auth method.

use super::{NO_CACHE, StoreRig, single_value};
use crate::rig::bao::{Bao, until};
use crate::rig::fake::{Fake, valid_answer};
use crate::rig::oidc::TokenIssuer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::config::stores::{ClientCertificate, VaultAuthMethod};
use claviger::stores::OnlineError;
use claviger::stores::ReadError::Unavailable;
use claviger::trust::ConnectFailure;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Method;
use serde_json::json;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A CA that is also the server's certificate, as `openssl req -x509` creates it, and a client certificate that it
/// has signed.
struct Pki {
    dir: TempDir,
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(["broker".to_owned()]).unwrap().signed_by(&client_key, &ca).unwrap();
        for (name, text) in [
            ("ca.pem", ca.pem()),
            ("ca.key", ca.key().serialize_pem()),
            ("client.pem", client.pem()),
            ("client.key", client_key.serialize_pem()),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self) -> ClientCertificate {
        ClientCertificate { cert_file: self.file("client.pem"), key_file: self.file("client.key") }
    }

    /// An OpenBao with another listener that uses this certificate, and that listener's address.
    async fn bao(&self, wants_client: bool) -> (Bao, String) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut listener = json!({
            "address": format!("127.0.0.1:{port}"),
            "tls_cert_file": self.file("ca.pem"), "tls_key_file": self.file("ca.key"),
        });
        if wants_client {
            listener["tls_require_and_verify_client_cert"] = json!(true);
            listener["tls_client_ca_file"] = json!(self.file("ca.pem"));
        }
        let bao = Bao::start_with_listener(&listener).await;
        bao.put("homelab/a", &[("K", "v")]).await;
        (bao, format!("https://127.0.0.1:{port}"))
    }
}

#[tokio::test]
async fn certificates_of_the_ca_file_are_accepted_and_each_connect_failure_has_its_code() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (bao, address) = pki.bao(false).await;
    let with =
        |address: &str, ca: PathBuf| StoreRig::new(address, &bao.root, NO_CACHE, |vault| vault.ca_file = Some(ca));
    let good = with(&address, pki.file("ca.pem"));
    assert_eq!(good.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(good.stores.check_online().await, [("vault".into(), Ok(()))]);

    let nobody = "https://127.0.0.1:1";
    for (address, ca, failure) in [
        (address.as_str(), other.file("ca.pem"), ConnectFailure::CaAsEndEntity),
        (&bao.address.replace("http:", "https:"), pki.file("ca.pem"), ConnectFailure::HandshakeFailed),
        (nobody, pki.file("ca.pem"), ConnectFailure::Refused),
    ] {
        let rig = with(address, ca);
        assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "{failure:?}");
        assert_eq!(rig.stores.check_online().await, [("vault".into(), Err(OnlineError::Unconnected(failure)))]);
    }
    let (strict, other) = (Bao::start_tls().await, Bao::start_tls().await);
    let rig = with(&strict.address, other.ca_file());
    let wrong_ca = OnlineError::Unconnected(ConnectFailure::UnknownIssuer);
    assert_eq!(rig.stores.check_online().await, [("vault".into(), Err(wrong_ca))]);
}

#[tokio::test]
async fn a_required_client_certificate_is_sent_and_a_missing_one_is_reported() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (bao, address) = pki.bao(true).await;
    let with = |client: Option<ClientCertificate>| {
        StoreRig::new(&address, &bao.root, NO_CACHE, |vault| {
            vault.ca_file = Some(pki.file("ca.pem"));
            vault.client_certificate = client;
        })
    };
    let good = with(Some(pki.client()));
    assert_eq!(good.read("homelab/a").await, single_value("K", "v"));
    let wanted = OnlineError::Unconnected(ConnectFailure::ClientCertificateRequired);
    for rig in [with(None), with(Some(other.client()))] {
        assert_eq!(rig.read("homelab/a").await, Err(Unavailable));
        assert_eq!(rig.stores.check_online().await, [("vault".into(), Err(wanted))]);
    }

    // After a client certificate is replaced, the next connection uses the new one.
    let rig = with(Some(other.client()));
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable));
    for name in ["client.pem", "client.key"] {
        std::fs::copy(pki.file(name), other.file(name)).unwrap();
    }
    until("the new certificate to be shown", async || rig.read("homelab/a").await == single_value("K", "v")).await;
}

#[tokio::test]
async fn the_address_of_a_server_can_have_a_path() {
    let fake = Fake::start(|line| valid_answer(&line.replacen(" /gate/vault/v1/", " /v1/", 1))).await;
    let rig = StoreRig::with_short_timeout(&format!("{}/gate/vault", fake.address), NO_CACHE);
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
}

/// A forward proxy for `CONNECT` and plain requests; returns its address and the number of requests served.
async fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, served) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = served.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let text = String::from_utf8(head.clone()).unwrap();
                let target = text.split(' ').nth(1).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let is_tunnel = text.starts_with("CONNECT ");
                let host = target.strip_prefix("http://").map_or(target, |rest| rest.split('/').next().unwrap());
                let mut server = tokio::net::TcpStream::connect(host).await?;
                if is_tunnel {
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                } else {
                    server.write_all(&head).await?;
                }
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (format!("http://{address}"), served)
}

#[tokio::test]
async fn a_configured_proxy_is_used() {
    let (address, served) = proxy().await;
    let secure = Bao::start_tls().await;
    secure.put("homelab/a", &[("K", "v")]).await;
    let plain = Bao::start().await;
    plain.put("homelab/a", &[("K", "v")]).await;
    for (bao, ca) in [(&secure, Some(secure.ca_file())), (&plain, None)] {
        let before = served.load(Ordering::SeqCst);
        let rig = StoreRig::new(&bao.address, &bao.root, NO_CACHE, |vault| {
            vault.ca_file.clone_from(&ca);
            vault.proxy_url = Some(address.clone());
        });
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "{}", bao.address);
        assert!(served.load(Ordering::SeqCst) > before, "{}", bao.address);
    }
    let before = served.load(Ordering::SeqCst);
    let direct = StoreRig::new(&plain.address, &plain.root, NO_CACHE, |_| {});
    assert_eq!(direct.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(served.load(Ordering::SeqCst), before);
    let dead = StoreRig::new(&plain.address, &plain.root, NO_CACHE, |vault| {
        vault.proxy_url = Some("http://127.0.0.1:1".into());
    });
    assert_eq!(dead.read("homelab/a").await, Err(Unavailable), "the proxy is not bypassed");
}

/// A P-256 key as PEM, from its uncompressed point.
fn public_key_pem(point: &[u8]) -> String {
    // SubjectPublicKeyInfo with id-ecPublicKey and prime256v1 (RFC 5480).
    let prefix =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let text = STANDARD.encode([&prefix[..], point].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &text[..64], &text[64..])
}

fn jwt(bao: &Bao, mount: &str, role: &str, token: &str) -> StoreRig {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, format!("{token}\n")).unwrap();
    let auth = VaultAuthMethod::Jwt { mount: mount.into(), role: role.into(), token_file };
    StoreRig::open(dir, &bao.address, auth, NO_CACHE, |_| {})
}

#[tokio::test]
async fn a_jwt_login_succeeds_only_for_the_configured_issuer() {
    let (bao, issuer) = (Bao::start().await, TokenIssuer::new());
    bao.put("homelab/a", &[("K", "v")]).await;
    bao.policy("reader", r#"path "homelab/data/*" { capabilities = ["read"] }"#).await;
    let post = async |path: &str, body: serde_json::Value| {
        let (status, answer) = bao.call(Method::POST, path, &body.to_string()).await;
        assert!(matches!(status, 200 | 204), "{path}: {answer}");
    };
    post("sys/auth/ci/jwt", json!({"type": "jwt"})).await;
    post("auth/ci/jwt/config", json!({"jwt_validation_pubkeys": [public_key_pem(issuer.public_key())]})).await;
    let role =
        json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["claviger"], "token_policies": ["reader"]});
    post("auth/ci/jwt/role/broker", role).await;

    let rig = jwt(&bao, "ci/jwt", "broker", &issuer.token(&json!({})));
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(rig.stores.check_online().await, [("vault".into(), Ok(()))]);
    for (role, token) in [
        ("broker", TokenIssuer::new().token(&json!({}))),
        ("broker", issuer.token(&json!({"aud": "another"}))),
        ("nobody", issuer.token(&json!({}))),
    ] {
        let rig = jwt(&bao, "ci/jwt", role, &token);
        assert!(rig.read("homelab/a").await.is_err(), "{role}");
    }
}

#[tokio::test]
async fn an_invalid_client_certificate_is_an_error_at_the_start() {
    let pki = Pki::new();
    let store = |key: &Path| {
        let client = ClientCertificate { cert_file: pki.file("client.pem"), key_file: key.to_owned() };
        StoreRig::try_new("https://127.0.0.1:1", |vault| {
            vault.ca_file = Some(pki.file("ca.pem"));
            vault.client_certificate = Some(client);
        })
    };
    assert!(store(&pki.file("client.key")).is_ok());
    let refused = store(&pki.file("ca.key")).unwrap_err().to_string();
    assert!(refused.starts_with("store vault: clientCertFile and clientKeyFile"), "{refused}");
}
