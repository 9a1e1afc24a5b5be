//! The configuration as a whole: accepted and refused values, defaults, and the report of faults.

mod aws_secrets_manager;
mod bad_values;
mod clouds;
mod clusters;
mod faults;
mod good_values;
mod policies;
mod schema;
mod warnings;

use bad_values::BAD_VALUES;
use good_values::{GOOD_VALUES, good, set};

use super::authenticators::{Algorithm, Kind as AuthenticatorKind};
use super::stores::{Kind as StoreKind, VaultAuthMethod};
use super::*;
use crate::document::Fault;
use crate::model::ticket_binding::TicketBinding;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A folder with the files that the test configurations name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in
            ["cert.pem", "key.pem", "kubeconfig", "jwks.json", "ca.pem", "token", "secret-id", "secrets.yaml", "key"]
        {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        std::fs::create_dir(folder.path().join("policies")).expect("made");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, yaml: &str) -> Result<Config, Vec<Fault>> {
        let file = self.path("claviger.yaml");
        std::fs::write(&file, yaml).expect("written");
        load(&file)
    }

    /// A valid configuration with one value changed.
    fn with(&self, pointer: &str, value: &str) -> Result<Config, Vec<Fault>> {
        let mut tree = good();
        set(&mut tree, pointer, crate::document::parse(value).expect("a value"));
        self.load(&tree.to_string())
    }
}

fn fault_lines(result: Result<Config, Vec<Fault>>) -> Vec<String> {
    let faults = result.expect_err("refused");
    assert!(!faults.is_empty());
    faults.into_iter().map(|fault| format!("{}: {}", fault.dotted_path(), fault.detail)).collect()
}

fn no_environment() -> std::iter::Empty<(String, String)> {
    std::iter::empty()
}

#[test]
fn the_documented_example_is_valid() {
    let folder = Folder::new();
    let config = folder
        .load(
            r"
server:
  listen: 0.0.0.0:8443
  opsListen: 0.0.0.0:9090
  publicUrl: https://claviger.claviger.svc:8443
  tls: {certFile: cert.pem, keyFile: key.pem}
  trustedProxies: [10.0.0.0/8, 'fd00::/8']
authenticators:
  - name: cluster
    kubernetes:
      audience: claviger
      kubeconfig:
      cacheTtl: 10s
  - name: github
    oidc: {issuer: https://token.actions.githubusercontent.com, audience: claviger, jwksFile: , algorithms: [RS256]}
  - {name: dev, oidc: {issuer: https://dev, jwksFile: jwks.json, algorithms: [EdDSA, ES384]}}
administrators:
  subjectAccessReview: true
  static:
    - {authenticator: dev, claims: {role: admin}}
stores:
  - name: vault
    vault:
      address: https://vault.vault.svc:8200
      namespace:
      caFile: ca.pem
      clientCertFile: cert.pem
      clientKeyFile: key.pem
      proxyUrl: http://proxy.example:3128
      auth:
        kubernetes: {mount: kubernetes, role: claviger, tokenFile: token}
      timeout: 2s
      makeTimeout: 30s
      cache: {ttl: 60s, negativeTtl: 10s, serveStaleFor: 10m, maxEntries: 100000}
  - name: other
    vault: {address: 'http://127.0.0.1:8200/gate/vault/', namespace: a/b, auth: {appRole: {roleId: r, secretIdFile: secret-id}}}
  - name: local
    file: {path: secrets.yaml}
database:
  url: sqlite://claviger.db
  keyFile: key
policies:
  directory: policies
  customResources: [cluster]
  tenants: [{namespaces: ['team-*'], ceiling: [{store: vault, pathPrefix: 'teams/{namespace}'}]}]
  ceiling: []
tickets: {ttl: 2m, maxTtl: 15m, bindTo: ip, store: memory, maxLivePerPod: 64}
limits: {bodyBytes: 64KiB, requestsPerSecondPerCaller: 50, failuresPerSecondPerAddress: 20, requestTimeout: 15s, headerTimeout: 5s, maxConnections: 10000}
audit: {stdout: true, retention: 2160h, keyFile: key}
telemetry: {logFormat: json, logLevel: info, otlpEndpoint: }
vaultApi: {enabled: true, mount: claviger, maxTokenTtl: 10m}
",
        )
        .expect("good");

    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8443");
    assert_eq!(config.server.public_url.as_deref(), Some("https://claviger.claviger.svc:8443"));
    assert_eq!(config.server.tls.as_ref().map(|tls| tls.key_file.clone()), Some(folder.path("key.pem")));
    assert_eq!(config.server.trusted_proxies.len(), 2);
    let AuthenticatorKind::Oidc(dev) = &config.authenticators[2].kind else { panic!("not oidc") };
    let AuthenticatorKind::Oidc(github) = &config.authenticators[1].kind else { panic!("not oidc") };
    assert_eq!((dev.jwks_file.as_ref(), github.jwks_file.as_ref()), (Some(&folder.path("jwks.json")), None));
    assert_eq!((dev.audience.as_str(), &*dev.algorithms), ("claviger", &[Algorithm::EdDsa, Algorithm::Es384][..]));
    assert_eq!(&*config.administrators.static_administrators[0].authenticator, "dev");
    let StoreKind::Vault(vault) = &config.stores[0].kind else { panic!("not vault") };
    let VaultAuthMethod::Kubernetes { token_file, .. } = &vault.auth else { panic!("not kubernetes") };
    assert_eq!((token_file, vault.ca_file.as_ref()), (&folder.path("token"), Some(&folder.path("ca.pem"))));
    let client = vault.client_certificate.as_ref().map(|client| (&client.cert_file, &client.key_file));
    assert_eq!(client, Some((&folder.path("cert.pem"), &folder.path("key.pem"))));
    assert_eq!(vault.proxy_url.as_deref(), Some("http://proxy.example:3128"));
    let StoreKind::Vault(other) = &config.stores[1].kind else { panic!("not vault") };
    assert_eq!(other.address, "http://127.0.0.1:8200/gate/vault");
    assert!(matches!(&other.auth, VaultAuthMethod::AppRole { mount, .. } if mount == "approle"));
    assert_eq!(config.database.url, database::Url::SqliteFile(folder.path("claviger.db")));
    assert_eq!(config.policies.directory, Some(folder.path("policies")));
    assert_eq!(config.limits.body_bytes, 65536);
    assert_eq!(config.audit.retention, Duration::from_hours(2160));
}

#[test]
fn a_claim_value_whose_text_yaml_alters_must_be_quoted() {
    let with = |level: &str| {
        let claims =
            format!("administrators: {{static: [{{authenticator: dev, claims: {{role: admin, level: {level}}}}}]}}\n");
        let mut rest = good();
        rest.as_object_mut().expect("a map").remove("administrators");
        let rest: Vec<String> =
            rest.as_object().expect("a map").iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        Folder::new().load(&(claims + &rest.concat()))
    };
    for level in ["0123", "1.10", "yes", "0x1F"] {
        let fault_lines = fault_lines(with(level));
        assert_eq!(fault_lines.len(), 1, "{fault_lines:?}");
        assert!(
            fault_lines[0].starts_with("administrators.static[0].claims.level: must be put in quotes"),
            "{fault_lines:?}"
        );
    }
    for level in ["'0123'", "3", "1.5", "true", "text"] {
        assert!(with(level).is_ok(), "{level}");
    }
}

#[test]
fn defaults_are_as_documented() {
    let config = Folder::new().load(&good().to_string()).expect("good");
    assert_eq!(config.server.listen.to_string(), "[::]:8080");
    assert_eq!(config.server.ops_listen.to_string(), "[::]:9090");
    let AuthenticatorKind::Kubernetes(cluster) = &config.authenticators[0].kind else { panic!("not kubernetes") };
    assert_eq!((cluster.audience.as_str(), cluster.cache_ttl), ("claviger", Duration::from_secs(10)));
    let StoreKind::Vault(vault) = &config.stores[1].kind else { panic!("not vault") };
    assert_eq!((vault.timeout, vault.cache.ttl), (Duration::from_secs(2), Duration::from_mins(1)));
    assert_eq!(vault.make_timeout, Duration::from_secs(30));
    assert_eq!(
        (vault.cache.negative_ttl, vault.cache.serve_stale_for),
        (Duration::from_secs(10), Duration::from_mins(10))
    );
    assert_eq!(vault.cache.max_entries, 100_000);
    assert_eq!(config.administrators.subject_access_review, ["cluster".into()]);
    assert_eq!((config.tickets.ttl, config.tickets.max_ttl), (Duration::from_mins(2), Duration::from_mins(15)));
    assert_eq!((config.tickets.binding, config.tickets.max_live_per_pod), (TicketBinding::Ip, 64));
    assert_eq!(config.limits.requests_per_second_per_caller.get(), 50);
    assert_eq!(config.limits.failures_per_second_per_address.get(), 20);
    assert_eq!(config.limits.reviews_per_second.get(), 50);
    assert_eq!(
        (config.limits.request_timeout, config.limits.header_timeout),
        (Duration::from_secs(15), Duration::from_secs(5))
    );
    assert_eq!(config.limits.max_connections, 10_000);
    assert!(config.audit.stdout);
    assert_eq!(config.telemetry.log_format, telemetry::LogFormat::Json);
    assert_eq!(config.telemetry.log_level, telemetry::LogLevel::Info);
    assert!(config.vault_api.enabled);
    assert_eq!(
        (config.vault_api.mount.as_str(), config.vault_api.max_token_ttl),
        ("claviger", Duration::from_mins(10))
    );
}

#[test]
fn only_keys_without_a_sensible_default_are_required() {
    let yaml = "database: {url: 'sqlite::memory:'}";
    assert_eq!(
        fault_lines(from_text(yaml, no_environment())),
        [
            "authenticators: must have at least one entry: without one, no caller can be authenticated",
            "server.publicUrl: must be set where server.listen is a wildcard",
            "stores: must have at least one entry: without one, there are no secrets",
        ]
    );
    assert_eq!(
        fault_lines(from_text("", no_environment())).len(),
        4,
        "the directory of the default database does not exist"
    );
}

#[test]
fn each_bad_value_is_reported_at_its_place() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("folder")).expect("made");
    for (pointer, value, expected) in BAD_VALUES {
        let fault_lines = fault_lines(folder.with(pointer, value));
        assert!(fault_lines.iter().any(|line| line.starts_with(expected)), "{pointer} = {value}: {fault_lines:#?}");
        // Exactly one fault, except where removing a value empties a list or breaks references to it.
        let alone = fault_lines.len() == 1 || ["/stores", "/stores/0", "/authenticators/0"].contains(pointer);
        assert!(alone, "{pointer} = {value}: {fault_lines:#?}");
        assert!(!format!("{fault_lines:?}").contains("hunter2"));
    }
}

#[test]
fn similar_good_values_are_accepted() {
    let folder = Folder::new();
    for (pointer, value) in GOOD_VALUES {
        let result = folder.with(pointer, value);
        assert!(result.is_ok(), "{pointer} = {value}: {:#?}", result.err());
    }
}

#[test]
fn public_url_is_required_only_with_a_wildcard_address() {
    let folder = Folder::new();
    let load = |listen: &str| {
        let mut tree = good();
        set(&mut tree, "/server", json!({"listen": listen}));
        folder.load(&tree.to_string())
    };
    assert_eq!(load("127.0.0.1:8080").expect("good").server.public_url, None);
    for wildcard in ["0.0.0.0:8080", "[::]:8080", "[::ffff:0.0.0.0]:8080"] {
        assert_eq!(fault_lines(load(wildcard)), ["server.publicUrl: must be set where server.listen is a wildcard"]);
    }
}

#[test]
fn the_default_port_depends_on_tls() {
    let config = Folder::new().with("/server/tls", "{certFile: cert.pem, keyFile: key.pem}").expect("good");
    assert_eq!(config.server.listen.to_string(), "[::]:8443");
}
