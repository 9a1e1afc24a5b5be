//! The common behaviour of all stores: one table for files, OpenBao's engines, AWS, Azure and Google.

use super::StoreRig;
use crate::rig::bao::Bao;
use claviger::config::stores::Kind;
use claviger::stores::ReadError::{Absent, Misconfigured};
#[cfg(all(feature = "azure", feature = "gcp"))]
use claviger::stores::SecretNaming;
use serde_json::{Map, Value};

/// A kind of store with its own server or file.
pub(super) struct Subject {
    pub(super) rig: StoreRig,
    pub(super) backend: Backend,
    /// The path below which secrets are.
    pub(super) below: String,
    /// Whether secrets have versions.
    pub(super) versioned: bool,
    /// Whether all digits of a number are kept.
    pub(super) digits: bool,
}

pub(super) enum Backend {
    File,
    Bao(Bao),
    #[cfg(feature = "aws")]
    Aws(crate::rig::moto::Moto),
    #[cfg(all(feature = "azure", feature = "gcp"))]
    Azure(crate::rig::clouds::azure::Azure),
    #[cfg(all(feature = "azure", feature = "gcp"))]
    Google(crate::rig::clouds::google::Google),
    /// A real vault or project.
    #[cfg(all(feature = "azure", feature = "gcp"))]
    Live(super::clouds::Live),
}

impl Subject {
    fn file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.yaml");
        std::fs::write(&file, "").unwrap();
        let rig = StoreRig::of("local", dir, Kind::File(file));
        Self { rig, backend: Backend::File, below: "homelab".into(), versioned: false, digits: false }
    }

    async fn kv(version: u8) -> Self {
        let bao = Bao::start().await;
        bao.enable_kv_v1("old").await;
        let rig = StoreRig::with_token(&bao.address, &bao.root);
        // KV v2 turns the numbers that it receives into floating-point numbers.
        let (below, versioned, digits) = if version == 1 { ("old", false, true) } else { ("homelab", true, false) };
        Self { rig, backend: Backend::Bao(bao), below: below.into(), versioned, digits }
    }

    #[cfg(feature = "aws")]
    async fn aws() -> Self {
        let moto = crate::rig::moto::Moto::start().await;
        let rig = super::aws::with_keys(&moto, super::NO_CACHE).await;
        Self { rig, backend: Backend::Aws(moto), below: "homelab".into(), versioned: true, digits: true }
    }

    #[cfg(all(feature = "azure", feature = "gcp"))]
    async fn azure() -> Self {
        let stub = crate::rig::clouds::azure::Azure::start(super::clouds::TOKEN).await;
        let rig = super::clouds::azure(&stub, super::NO_CACHE, |_| {});
        Self { rig, backend: Backend::Azure(stub), below: "homelab".into(), versioned: true, digits: true }
    }

    #[cfg(all(feature = "azure", feature = "gcp"))]
    async fn google() -> Self {
        let stub = crate::rig::clouds::google::Google::start(super::clouds::TOKEN).await;
        let rig = super::clouds::google(&stub, super::NO_CACHE, |_| {});
        Self { rig, backend: Backend::Google(stub), below: "homelab".into(), versioned: true, digits: true }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.below)
    }

    async fn put(&self, name: &str, secret: &str) {
        let path = self.path(name);
        match &self.backend {
            Backend::File => {
                let file = self.rig.dir.path().join("secrets.yaml");
                let text = std::fs::read_to_string(&file).unwrap();
                let mut all: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
                all.insert(path, serde_json::from_str(secret).unwrap());
                std::fs::write(&file, Value::Object(all).to_string()).unwrap();
                assert_eq!(self.rig.stores.reload().await, []);
            }
            Backend::Bao(bao) => bao.put_json(&path, secret).await,
            #[cfg(feature = "aws")]
            Backend::Aws(moto) => drop(moto.put(&path, secret).await),
            #[cfg(all(feature = "azure", feature = "gcp"))]
            Backend::Azure(stub) => drop(stub.put(&SecretNaming::AzureKeyVault.secret_name(&path).unwrap(), secret)),
            #[cfg(all(feature = "azure", feature = "gcp"))]
            Backend::Google(stub) => {
                stub.put(&SecretNaming::GcpSecretManager.secret_name(&path).unwrap(), secret.as_bytes());
            }
            #[cfg(all(feature = "azure", feature = "gcp"))]
            Backend::Live(live) => live.put(&path, secret).await,
        }
    }

    async fn assert_contract(self) {
        self.check_contract().await;
    }

    pub(super) async fn check_contract(&self) {
        self.check_text_of_values().await;
        self.check_absent_and_invalid_paths().await;
        self.check_versions().await;
    }

    async fn check_text_of_values(&self) {
        const VALUES: &[(&str, &str, Option<&str>)] = &[
            ("text", r#""a\n\"<é\u2028😀\u0001 'b'""#, Some("a\n\"<é\u{2028}😀\u{1} 'b'")),
            ("empty", r#""""#, Some("")),
            ("digits", r#""1.50""#, Some("1.50")),
            ("whole", "12", Some("12")),
            ("negative", "-7", Some("-7")),
            ("yes", "true", Some("true")),
            ("no", "false", Some("false")),
            ("nothing", "null", None),
            ("word", r#""null""#, Some("null")),
            ("object", r#"{"a": {"b": [1, "x y", null]}, "c": {}}"#, Some(r#"{"a":{"b":[1,"x y",null]},"c":{}}"#)),
            ("list", "[ ]", Some("[]")),
        ];
        const DIGITS: &[(&str, &str, Option<&str>)] = &[
            ("money", "1.50", Some("1.50")),
            ("long", "12345678901234567890123.450", Some("12345678901234567890123.450")),
            ("exponent", "-1E+40", Some("-1E+40")),
            ("inner", r#"[1.0, {"x": 1.20}]"#, Some(r#"[1.0,{"x":1.20}]"#)),
        ];
        let rows = [VALUES, if self.digits { DIGITS } else { &[] }].concat();
        let members: Vec<String> = rows.iter().map(|(key, json, _)| format!("\"{key}\": {json}")).collect();
        self.put("values", &format!("{{ {} }}", members.join(" , "))).await;
        let read = self.rig.read(&self.path("values")).await.unwrap();
        for (key, _, expected) in &rows {
            assert_eq!(read[*key].as_deref(), *expected, "{} in {}", key, self.rig.name);
        }
        assert_eq!(read.len(), rows.len());
        // KV v1 refuses a secret without keys.
        if self.below != "old" {
            self.put("no-keys", "{}").await;
            assert_eq!(self.rig.read(&self.path("no-keys")).await, Ok([].into()), "{}", self.rig.name);
        }
    }

    async fn check_absent_and_invalid_paths(&self) {
        self.put("a/b", r#"{"K": "v"}"#).await;
        assert!(self.rig.read(&self.path("a/b")).await.is_ok());
        for name in ["none", "a", "a/b/c", "a/B", "a/=2B"] {
            assert_eq!(self.rig.read(&self.path(name)).await, Err(Absent), "{name} in {}", self.rig.name);
        }
        for path in ["sys/raw", "auth/token/lookup-self", "../a", "a//b", "a/b/", "", "a\nb", "a\u{7f}b"] {
            assert_eq!(self.rig.read(path).await, Err(Misconfigured), "{path} in {}", self.rig.name);
        }
    }

    async fn check_versions(&self) {
        self.put("rotated", r#"{"K": "one", "OLD": "x"}"#).await;
        let first = self.rig.lease(&self.path("rotated")).await.unwrap();
        assert_eq!(first.data.keys().collect::<Vec<_>>(), ["K", "OLD"]);
        assert_eq!(self.rig.lease(&self.path("rotated")).await.unwrap().version, first.version);
        self.put("rotated", r#"{"K": "two"}"#).await;
        let second = self.rig.lease(&self.path("rotated")).await.unwrap();
        assert_eq!(second.data.keys().collect::<Vec<_>>(), ["K"]);
        assert_ne!(second.data["K"], first.data["K"]);
        assert_eq!(first.version.is_some(), self.versioned, "{}", self.rig.name);
        assert_eq!(second.version != first.version, self.versioned, "{}", self.rig.name);
        assert!(!first.stale && !second.stale);
    }
}

#[tokio::test]
async fn the_file_store_meets_the_contract() {
    Subject::file().assert_contract().await;
}

#[tokio::test]
async fn kv_version_1_meets_the_contract() {
    Subject::kv(1).await.assert_contract().await;
}

#[tokio::test]
async fn kv_version_2_meets_the_contract() {
    Subject::kv(2).await.assert_contract().await;
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn aws_secrets_manager_meets_the_contract() {
    Subject::aws().await.assert_contract().await;
}

#[cfg(all(feature = "azure", feature = "gcp"))]
#[tokio::test]
async fn azure_key_vault_meets_the_contract() {
    Subject::azure().await.assert_contract().await;
}

#[cfg(all(feature = "azure", feature = "gcp"))]
#[tokio::test]
async fn google_secret_manager_meets_the_contract() {
    Subject::google().await.assert_contract().await;
}
