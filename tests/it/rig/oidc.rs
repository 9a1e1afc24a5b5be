//! A Claviger without a cluster: it trusts tokens that the test signs, and reads secrets from a file.

use super::claviger::{Claviger, download_path, write_policies};
use super::http::Answer;
use super::json::set_members;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::model::clock::{Clock as _, SystemClock};
use claviger::model::request_id::RequestId;
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};

/// The value of `iss`.
pub const ISSUER: &str = "https://ci.test.invalid";

/// Signs tokens with ES256.
pub struct TokenIssuer {
    key: EcdsaKeyPair,
}

impl TokenIssuer {
    pub fn new() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap() }
    }

    /// The public key as a JWKS.
    pub fn jwks(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "ci",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}]})
    }

    /// The public key's bytes.
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// The claims of an ordinary build's token.
    pub fn claims() -> Value {
        let now = SystemClock.now().as_second();
        json!({"iss": ISSUER, "aud": "claviger", "sub": "build-1", "role": "build", "iat": now, "exp": now + 3600,
            "jti": RequestId::random().as_str()})
    }

    /// A token with changes to these claims; null removes a claim.
    pub fn token(&self, changes: &Value) -> String {
        let mut claims = Self::claims();
        set_members(&mut claims, changes);
        self.sign(&json!({"alg": "ES256", "kid": "ci", "typ": "JWT"}), &claims)
    }

    /// A token with any header and claims, always signed with ES256.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A running Claviger that trusts the issuer named `ci`, with a file store named `local`.
pub struct TestServer {
    pub claviger: Claviger,
    pub issuer: TokenIssuer,
    config: Value,
    environment: Vec<(String, String)>,
}

/// A policy that allows the ordinary build the secrets of `local` at these paths, with additional fields.
pub fn allow(paths: &[&str], extra: &Value) -> Value {
    let secrets: Vec<Value> = paths.iter().map(|path| json!({"store": "local", "path": path})).collect();
    let mut spec = json!({
        "subjects": [{"oidc": {"issuer": "ci", "claims": {"role": "build"}}}],
        "repos": ["**"], "branches": ["**"], "secrets": secrets,
    });
    set_members(&mut spec, extra);
    spec
}

impl TestServer {
    /// Starts one with one secret of two keys, for `site` and `main`.
    pub fn with_one_secret() -> Self {
        Self::start(
            &json!({"homelab/site/main": {"TOKEN": "s3cret", "URL": "https://x"}}),
            &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))],
            &json!({}),
            &[],
        )
    }

    /// Starts one. `config` replaces whole sections of the configuration.
    pub fn start(secrets: &Value, policies: &[(&str, Value)], config: &Value, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let issuer = TokenIssuer::new();
        std::fs::write(at("jwks.json"), issuer.jwks().to_string()).unwrap();
        std::fs::write(at("secrets.yaml"), secrets.to_string()).unwrap();
        write_policies(&at("policies"), policies);
        let mut whole = json!({
            "authenticators": [{"name": "ci", "oidc": {"issuer": ISSUER, "audience": "claviger",
                "jwksFile": at("jwks.json"), "algorithms": ["ES256"]}}],
            "stores": [{"name": "local", "file": {"path": at("secrets.yaml")}}],
            "policies": {"directory": at("policies")},
            "tickets": {"maxLivePerPod": 100_000},
        });
        for (section, value) in config.as_object().unwrap() {
            whole[section] = value.clone();
        }
        let claviger = Claviger::serve_with(folder, whole.clone(), environment);
        let environment = environment.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { claviger, issuer, config: whole, environment }
    }

    /// Kills it with `SIGKILL` and starts it again on its files.
    pub fn kill_and_restart(&mut self) {
        self.claviger.signal("KILL");
        self.claviger.wait(std::time::Duration::from_secs(5));
        let folder = std::mem::replace(&mut self.claviger.folder, tempfile::tempdir().unwrap());
        let environment: Vec<_> = self.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.claviger = Claviger::serve_with(folder, self.config.clone(), &environment);
    }

    /// Requests a ticket with a token of the ordinary build that has a new `jti`.
    pub fn asks(&self, form: &str) -> Answer {
        self.ask(&self.issuer.token(&json!({})), form)
    }

    /// The same with a JSON body.
    pub fn asks_json(&self, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.issuer.token(&json!({})));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.send("POST", "/v1/tickets", &headers, body.as_bytes())
    }

    /// Requests a ticket, and returns the path of its download.
    pub fn download_path_for(&self, form: &str) -> String {
        let answer = self.asks(form);
        assert_eq!(answer.status, 201, "{answer:?}");
        download_path(&answer)
    }

    /// The same for `site/main`.
    pub fn new_download_path(&self) -> String {
        self.download_path_for("repo=site&branch=main")
    }
}

impl Deref for TestServer {
    type Target = Claviger;

    fn deref(&self) -> &Claviger {
        &self.claviger
    }
}

impl DerefMut for TestServer {
    fn deref_mut(&mut self) -> &mut Claviger {
        &mut self.claviger
    }
}
