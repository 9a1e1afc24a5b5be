//! Determines the IP address of a client: that of the socket's peer, or one that a trusted proxy reports.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

/// The address that a request is attributed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address of the client. If it is not known, that of the proxy that reported an invalid address.
    pub ip: IpAddr,
    /// Whether `ip` is the client's address.
    pub is_known: bool,
}

/// Returns the address of the peer. If the peer is a trusted proxy, returns the right-most address in `X-Forwarded-For` that is not
/// a trusted proxy, or the left-most address if all are trusted. An invalid entry ends the search at the proxy that added it,
/// because entries to its left may be forged.
pub fn determine(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> ClientAddress {
    let is_trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
    let mut ip = peer.to_canonical();
    if !is_trusted(&ip) {
        return ClientAddress { ip, is_known: true };
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(hop) = parse_hop(hop.trim_ascii()) else {
            warn_once(ip);
            return ClientAddress { ip, is_known: false };
        };
        ip = hop.to_canonical();
        if !is_trusted(&ip) {
            break;
        }
    }
    ClientAddress { ip, is_known: true }
}

/// Parses an address as proxies send it: plain, in brackets, with a port (Azure's Application Gateway), or quoted (RFC 7239).
/// `None` for an IPv6 address with a zone, which is valid on one link only.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(hop);
    if hop.contains('%') {
        return None;
    }
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).or_else(bracketed)
}

/// Logs, once per process, that tickets cannot be bound to an address because a proxy sends an invalid header.
fn warn_once(proxy: IpAddr) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %proxy,
            "a trusted proxy sent an invalid X-Forwarded-For; its clients' tickets are not bound to an address"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().expect("a net"), "fd00::/8".parse().expect("a net")];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().expect("a header"));
        }
        let client = determine(peer.parse().expect("an address"), &headers, &trusted);
        format!("{}{}", client.ip, if client.is_known { "" } else { " (its client is not known)" })
    }

    #[test]
    fn an_address_may_have_a_port_brackets_and_quotes() {
        for (line, ip) in [
            ("203.0.113.5:41001", "203.0.113.5"),
            ("203.0.113.5:0", "203.0.113.5"),
            ("[2001:db8::1]:41001", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8:0::1]:1", "2001:db8::1"),
            ("[::ffff:203.0.113.5]:41001", "203.0.113.5"),
            ("\"[2001:db8::1]:41001\"", "2001:db8::1"),
            ("\"203.0.113.5\"", "203.0.113.5"),
            ("1.1.1.1:9, 203.0.113.5:41001 ,10.0.0.2:80", "203.0.113.5"),
            ("198.51.100.9,\t[fd00::7]:80", "198.51.100.9"),
        ] {
            assert_eq!(client("10.0.0.1", &[line]), ip, "{line:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("fd00::1", &["2001:db8::9"]), "2001:db8::9");
    }

    #[test]
    fn the_right_most_untrusted_hop_counts() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 10.0.0.3", "10.0.0.2"]), "1.1.1.1");
    }

    #[test]
    fn an_invalid_hop_leaves_the_client_unknown() {
        for line in [
            "",
            " ",
            ",",
            "203.0.113.9,",
            "unknown",
            "_hidden",
            "1.1.1.1 2.2.2.2",
            "0x7f.1",
            "1.1.1.1, x",
            "010.1.1.1",
            "1.1.1",
            "203.0.113.9:",
            "203.0.113.9:x",
            "203.0.113.9:65536",
            "203.0.113.9:80:80",
            "[203.0.113.9]",
            "[2001:db8::9",
            "2001:db8::9]",
            "[[2001:db8::9]]",
            "[2001:db8::9]:",
            "[2001:db8::9]80",
            "fe80::1%eth0",
            "[fe80::1%251]:80",
            "[fe80::1%1]:80",
            "\"203.0.113.9",
            "for=203.0.113.9",
            "http://203.0.113.9",
            "203.0.113.9/32",
            "caf\u{e9}",
        ] {
            assert_eq!(client("10.0.0.1", &[line]), "10.0.0.1 (its client is not known)", "{line:?} was believed");
        }
        assert_eq!(client("10.0.0.1", &["x, 10.0.0.2"]), "10.0.0.2 (its client is not known)");
        assert_eq!(client("192.0.2.1", &["x"]), "192.0.2.1", "a peer that is not a proxy is not believed");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn other_headers_are_ignored() {
        let mut headers = HeaderMap::new();
        for name in [
            "forwarded",
            "x-real-ip",
            "x-client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "x-forwarded",
            "x-cluster-client-ip",
        ] {
            headers.insert(name, "for=203.0.113.9".parse().expect("a header"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("a net")];
        let client = determine("10.0.0.1".parse().expect("an address"), &headers, &trusted);
        assert_eq!((client.ip.to_string().as_str(), client.is_known), ("10.0.0.1", true));
    }
}
