//! `stores`: where secrets are read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One checked entry.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its name, as policies write it.
    pub name: Arc<str>,
    /// What it is.
    pub kind: Kind,
}

/// A kind of store.
#[derive(Debug, Clone)]
pub enum Kind {
    /// HashiCorp Vault or OpenBao.
    Vault(Vault),
    /// A YAML file, for development.
    File(PathBuf),
}

/// A Vault or OpenBao server.
#[derive(Debug, Clone)]
pub struct Vault {
    /// `https://host:port`, without a slash at the end.
    pub address: String,
    /// The namespace, sent as `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// PEM roots; the platform's without.
    pub ca_file: Option<PathBuf>,
    /// How the broker logs in.
    pub auth: VaultAuth,
    /// The budget of one call.
    pub timeout: Duration,
    /// How long answers are kept.
    pub cache: Cache,
}

/// How the broker logs in to Vault.
#[derive(Debug, Clone)]
pub enum VaultAuth {
    /// By its own ServiceAccount token.
    Kubernetes {
        /// The auth mount.
        mount: String,
        /// The role.
        role: String,
        /// The projected token, re-read at every login.
        token_file: PathBuf,
    },
    /// By role id and secret id.
    AppRole {
        /// The auth mount.
        mount: String,
        /// The role id.
        role_id: String,
        /// The secret id, re-read at every login.
        secret_id_file: PathBuf,
    },
    /// By a token from a file, re-read when it changes.
    TokenFile(PathBuf),
}

/// Bounds of the lease cache.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// How long a secret is served without asking again.
    pub ttl: Duration,
    /// How long an absence is.
    pub negative_ttl: Duration,
    /// How long after `ttl` a secret may still be served while the store cannot be reached.
    pub serve_stale_for: Duration,
    /// The most entries kept.
    pub max_entries: u64,
}
