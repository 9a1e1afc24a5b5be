//! `server`: listeners and public URL.

use super::address;
use super::fault_collector::FaultCollector;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The validated section.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address of the API listener.
    pub listen: SocketAddr,
    /// Address of the ops listener: metrics and health.
    pub ops_listen: SocketAddr,
    /// The prefix of download URLs, without a trailing slash. `None`: the address of the API listener. Required if `listen` is a
    /// wildcard address.
    pub public_url: Option<String>,
    /// Certificate and key. `None`: HTTP without TLS.
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
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Server> {
        let tls = self.tls.unwrap_or_default();
        let is_tls = tls.cert_file.is_some() || tls.key_file.is_some();
        let tls = if is_tls { tls.validate(faults) } else { None };
        let default_listen = if is_tls { "[::]:8443" } else { "[::]:8080" };
        let listen = require_socket_address(
            faults,
            "/server/listen",
            Some(self.listen.unwrap_or_else(|| default_listen.into())),
        );
        let ops_listen = require_socket_address(faults, "/server/opsListen", self.ops_listen);
        if let (Some(listen), Some(ops_listen)) = (listen, ops_listen)
            && have_same_port(listen, ops_listen)
        {
            faults.record("/server/opsListen", "must differ from server.listen");
        }
        if self.public_url.is_none() && listen.is_some_and(is_wildcard) {
            faults.record("/server/publicUrl", "must be set where server.listen is a wildcard");
        }
        let public_url =
            self.public_url.and_then(|url| faults.ok_or_record("/server/publicUrl", address::validate_base(url)));
        let trusted_proxies = faults.parse_each("/server/trustedProxies", self.trusted_proxies, parse_network);
        if IpNet::aggregate(&trusted_proxies).iter().any(|network| network.prefix_len() == 0) {
            faults.record("/server/trustedProxies", ALL_ADDRESSES_FAULT);
        }
        Some(Server { listen: listen?, ops_listen: ops_listen?, public_url, tls, trusted_proxies })
    }
}

impl RawTls {
    fn validate(self, faults: &mut FaultCollector) -> Option<Tls> {
        const CERT_FILE: &str = "/server/tls/certFile";
        const KEY_FILE: &str = "/server/tls/keyFile";
        let has_both = self.cert_file.is_some() && self.key_file.is_some();
        if !has_both {
            let missing = if self.cert_file.is_none() { CERT_FILE } else { KEY_FILE };
            faults.record(missing, "must be set too: TLS needs a certificate and its key");
        }
        let cert_file = faults.optional_file(CERT_FILE, self.cert_file);
        let key_file = faults.optional_file(KEY_FILE, self.key_file);
        Some(Tls { cert_file: cert_file?, key_file: key_file? })
    }
}

fn require_socket_address(faults: &mut FaultCollector, pointer: &str, value: Option<String>) -> Option<SocketAddr> {
    const DETAIL: &str = "must be an address and a port, such as [::]:8443 or 0.0.0.0:8443";
    faults.require_parsed(pointer, value, |text| text.parse().map_err(|_| DETAIL))
}

fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    match text.parse::<IpNet>() {
        Ok(network) if network.prefix_len() == 0 => Err(ALL_ADDRESSES_FAULT),
        Ok(network) => Ok(network.trunc()),
        Err(_) => Err("must be a CIDR such as 10.0.0.0/8"),
    }
}

const ALL_ADDRESSES_FAULT: &str = "is everybody: anyone who can connect could write any address into X-Forwarded-For. Write the networks \
     of the proxies that you run, such as 10.0.0.0/8";

fn is_wildcard(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_unspecified()
}

/// Whether two listeners would use the same port of an address. Port 0 means any free port.
fn have_same_port(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip().to_canonical() == b.ip().to_canonical();
    a.port() == b.port() && a.port() != 0 && (same_ip || is_wildcard(a) || is_wildcard(b))
}
