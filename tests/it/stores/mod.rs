//! Stores: a real OpenBao, moto for AWS and drongo for Google where possible, stubs of the clouds, and a small fake for other faults.

#[cfg(feature = "aws")]
mod aws;
mod behaviours;
#[cfg(all(feature = "azure", feature = "gcp"))]
mod clouds;
mod contract;
mod leases;
mod neighbours;
mod outage;
mod vault_auth;
mod vault_connections;
mod vault_faults;
mod vault_read;

use claviger::config::cache::Cache;
use claviger::config::stores::{Kind, Store, Vault, VaultAuthMethod};
use claviger::metrics::Metrics;
use claviger::model::request_id::RequestId;
use claviger::model::secret::Secret;
use claviger::model::secret_ref::SecretRef;
use claviger::stores::{ReadError, Stores};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// No cache: every read reaches the store.
const NO_CACHE: Cache =
    Cache { ttl: Duration::ZERO, negative_ttl: Duration::ZERO, serve_stale_for: Duration::ZERO, max_entries: 0 };

/// Long enough for a server on the same machine.
const SHORT_TIMEOUT: Duration = Duration::from_millis(400);

/// A store and its test environment.
struct StoreRig {
    name: &'static str,
    stores: Stores,
    metrics: Arc<Metrics>,
    /// Contains the files that the configuration names.
    dir: TempDir,
}

/// The keys and values of a secret.
type Values = BTreeMap<String, Option<String>>;

impl StoreRig {
    /// A store that uses a token from a file.
    fn with_token(address: &str, token: &str) -> Self {
        Self::new(address, token, NO_CACHE, |_| {})
    }

    /// The same with a cache and other settings.
    fn new(address: &str, token: &str, cache: Cache, change: impl FnOnce(&mut Vault)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, format!("{token}\n")).unwrap();
        Self::open(dir, address, VaultAuthMethod::TokenFile(file), cache, change)
    }

    /// A store with a timeout of less than a second.
    fn with_short_timeout(address: &str, cache: Cache) -> Self {
        Self::new(address, "s.token", cache, |vault| vault.timeout = SHORT_TIMEOUT)
    }

    /// The same, logging in as a Kubernetes ServiceAccount.
    fn logging_in(address: &str, cache: Cache) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, "a.b.c").unwrap();
        let auth = VaultAuthMethod::Kubernetes { mount: "kubernetes".into(), role: "claviger".into(), token_file };
        Self::open(dir, address, auth, cache, |vault| vault.timeout = SHORT_TIMEOUT)
    }

    fn open(dir: TempDir, address: &str, auth: VaultAuthMethod, cache: Cache, change: impl FnOnce(&mut Vault)) -> Self {
        let timeout = Duration::from_secs(5);
        let mut vault = vault_settings(address, auth, timeout, cache);
        change(&mut vault);
        Self::of("vault", dir, Kind::Vault(vault))
    }

    /// Whether a store with these settings can be opened.
    fn try_new(address: &str, change: impl FnOnce(&mut Vault)) -> Result<(), claviger::stores::StoreOpenError> {
        let (auth, timeout) = (VaultAuthMethod::TokenFile("/nonexistent".into()), SHORT_TIMEOUT);
        let mut vault = vault_settings(address, auth, timeout, NO_CACHE);
        change(&mut vault);
        let store = Store { name: "vault".into(), kind: Kind::Vault(vault) };
        Stores::open(&[store], &Arc::new(Metrics::new(&[], &["vault"]).unwrap())).map(|_| ())
    }

    /// A store of any kind.
    fn of(name: &'static str, dir: TempDir, kind: Kind) -> Self {
        let metrics = Arc::new(Metrics::new(&[], &[name]).unwrap());
        let stores = Stores::open(&[Store { name: name.into(), kind }], &metrics).unwrap();
        Self { name, stores, metrics, dir }
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    async fn lease(&self, path: &str) -> Result<Arc<Secret>, ReadError> {
        let secret = SecretRef { store: self.name.into(), path: path.into() };
        self.stores.read(&secret, &RequestId::random()).await
    }

    #[expect(clippy::disallowed_methods, reason = "what came is what is tested")]
    async fn read(&self, path: &str) -> Result<Values, ReadError> {
        let lease = self.lease(path).await?;
        let text = |value: &claviger::model::secret::SecretValue| value.expose_secret().to_owned();
        Ok(lease.data.iter().map(|(key, value)| (key.clone(), value.as_ref().map(text))).collect())
    }

    /// The number of calls of a kind with this outcome.
    fn calls(&self, operation: &str, outcome: &str) -> u64 {
        let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\",store=\"{}\"", self.name);
        self.counted("claviger_store_requests_total", &labels)
    }

    /// The number of reads through the cache with this outcome.
    fn lookups(&self, outcome: &str) -> u64 {
        let labels = format!("outcome=\"{outcome}\",store=\"{}\"", self.name);
        self.counted("claviger_lease_cache_requests_total", &labels)
    }

    /// The number of calls that an open circuit breaker of this scope suspended.
    fn suspended(&self, scope: &str) -> u64 {
        let labels = format!("scope=\"{scope}\",store=\"{}\"", self.name);
        self.counted("claviger_store_calls_suspended_total", &labels)
    }

    fn counted(&self, family: &str, labels: &str) -> u64 {
        let text = String::from_utf8(self.metrics.encode().unwrap()).unwrap();
        let series = format!("{family}{{{labels}}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }
}

/// Settings of a Vault without TLS, namespace or proxy.
pub fn vault_settings(address: &str, auth: VaultAuthMethod, timeout: Duration, cache: Cache) -> Vault {
    Vault {
        address: address.to_owned(),
        namespace: None,
        ca_file: None,
        client_certificate: None,
        proxy_url: None,
        auth,
        timeout,
        make_timeout: timeout,
        cache,
    }
}

/// A secret with one key.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what a read gives")]
fn single_value(key: &str, value: &str) -> Result<Values, ReadError> {
    Ok([(key.to_owned(), Some(value.to_owned()))].into())
}
