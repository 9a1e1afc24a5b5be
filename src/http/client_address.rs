//! Where a request really comes from: the socket's peer, or what a trusted proxy says of it.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The client; where that is not known, the proxy that vouched for what is no address.
    pub ip: IpAddr,
    /// Whether it is the client.
    pub is_known: bool,
}

/// The peer; where that is a trusted proxy, the right-most hop of `X-Forwarded-For` that is none. A hop that is no address ends
/// the search at the proxy that vouched for it: what stands left of it is anybody's word.
pub fn of(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> ClientAddress {
    let is_trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
    let mut ip = fold(peer);
    if !is_trusted(&ip) {
        return ClientAddress { ip, is_known: true };
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(hop) = address(hop.trim_ascii()) else {
            tell(ip);
            return ClientAddress { ip, is_known: false };
        };
        ip = fold(hop);
        if !is_trusted(&ip) {
            break;
        }
    }
    ClientAddress { ip, is_known: true }
}

/// An address as proxies spell it: plain, in brackets, or with a port (Azure's Application Gateway), and quoted where RFC 7239 wants
/// that for `Forwarded`. One with a zone is none: it means something on one link only.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(hop);
    if hop.contains('%') {
        return None;
    }
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).or_else(bracketed)
}

/// Says once that a proxy does not name its clients: tickets of all who come through it cannot be bound to an address.
fn tell(proxy: IpAddr) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %proxy,
            "a trusted proxy sent an invalid X-Forwarded-For; its clients' tickets are not bound to an address"
        );
    }
}

/// `::ffff:192.0.2.1` is `192.0.2.1`.
fn fold(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
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
        let client = of(peer.parse().expect("an address"), &headers, &trusted);
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
    fn nonsense_is_no_address() {
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
        assert_eq!(client("192.0.2.1", &["x"]), "192.0.2.1", "who is no proxy is not listened to");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn other_headers_say_nothing() {
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
        let client = of("10.0.0.1".parse().expect("an address"), &headers, &trusted);
        assert_eq!((client.ip.to_string().as_str(), client.is_known), ("10.0.0.1", true));
    }
}
