//! `server`: listeners and public URL.

use super::address;
use super::check::Check;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address of the API listener.
    pub listen: SocketAddr,
    /// Address of the ops listener: metrics and health.
    pub ops_listen: SocketAddr,
    /// The prefix of one-time URLs, without a trailing slash. `None`: `http(s)://` and the actual address of the
    /// API listener; only allowed if `listen` is not a wildcard address.
    pub public_url: Option<String>,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<Tls>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// A PEM certificate chain and its key, read again when the files change.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawServer {
    listen: Option<String>,
    ops_listen: Option<String>,
    public_url: Option<String>,
    tls: Option<RawTls>,
    trusted_proxies: Option<Vec<Option<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawTls {
    cert_file: Option<String>,
    key_file: Option<String>,
}

impl RawServer {
    pub(super) fn check(self, check: &mut Check) -> Option<Server> {
        let tls = self.tls.unwrap_or_default();
        let wants_tls = tls.cert_file.is_some() || tls.key_file.is_some();
        let tls = if wants_tls { tls.check(check) } else { None };
        let default_listen = if wants_tls { "[::]:8443" } else { "[::]:8080" };
        let listen =
            socket_address(check, "/server/listen", Some(self.listen.unwrap_or_else(|| default_listen.into())));
        let ops_listen = socket_address(check, "/server/opsListen", self.ops_listen);
        if let (Some(listen), Some(ops_listen)) = (listen, ops_listen)
            && collide(listen, ops_listen)
        {
            check.fault("/server/opsListen", "must differ from server.listen");
        }
        if self.public_url.is_none() && listen.is_some_and(is_wildcard) {
            check.fault("/server/publicUrl", "must be set where server.listen is a wildcard");
        }
        let public_url = self.public_url.and_then(|url| check.noted("/server/publicUrl", address::check_base(url)));
        let trusted_proxies: Vec<IpNet> = self
            .trusted_proxies
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, cidr)| network(check, &format!("/server/trustedProxies/{index}"), cidr))
            .collect();
        if IpNet::aggregate(&trusted_proxies).iter().any(|network| network.prefix_len() == 0) {
            check.fault("/server/trustedProxies", EVERYBODY);
        }
        Some(Server { listen: listen?, ops_listen: ops_listen?, public_url, tls, trusted_proxies })
    }
}

impl RawTls {
    fn check(self, check: &mut Check) -> Option<Tls> {
        const CERT_FILE: &str = "/server/tls/certFile";
        const KEY_FILE: &str = "/server/tls/keyFile";
        let both = self.cert_file.is_some() && self.key_file.is_some();
        if !both {
            let missing = if self.cert_file.is_none() { CERT_FILE } else { KEY_FILE };
            check.fault(missing, "must be set too: TLS needs a certificate and its key");
        }
        let cert_file = check.file_if_set(CERT_FILE, self.cert_file);
        let key_file = check.file_if_set(KEY_FILE, self.key_file);
        Some(Tls { cert_file: cert_file?, key_file: key_file? })
    }
}

fn socket_address(check: &mut Check, at: &str, value: Option<String>) -> Option<SocketAddr> {
    let text = check.required(at, value)?;
    check.noted(at, text.parse().map_err(|_| "must be an address and a port, such as [::]:8443 or 0.0.0.0:8443"))
}

fn network(check: &mut Check, at: &str, value: Option<String>) -> Option<IpNet> {
    let text = check.required(at, value)?;
    let network: IpNet = check.noted(at, text.parse().map_err(|_| "must be a CIDR such as 10.0.0.0/8"))?;
    if network.prefix_len() == 0 {
        check.fault(at, EVERYBODY);
        return None;
    }
    Some(network.trunc())
}

const EVERYBODY: &str = "is everybody: whoever can connect could write any address into X-Forwarded-For. Write the networks of the \
     proxies that you run, such as 10.0.0.0/8";

fn is_wildcard(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_unspecified()
}

/// Whether two listeners would use the same port. Port 0 always gets a free port.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip().to_canonical() == b.ip().to_canonical();
    a.port() == b.port() && a.port() != 0 && (same_ip || is_wildcard(a) || is_wildcard(b))
}
