//! `server`: where we listen and how we are reached.

use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Server {
    /// The api listener.
    pub listen: SocketAddr,
    /// The ops listener: metrics and health.
    pub ops_listen: SocketAddr,
    /// What one-time URLs begin with, without a slash at the end. `None`: `http(s)://` and the address the api listener
    /// really got, for a `listen` that is no wildcard.
    pub public_url: Option<String>,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<Tls>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// A PEM certificate chain and its key, re-read when the files change.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}
