//! Where a request really comes from: the socket's peer, or what a trusted proxy says of it.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// The peer; where that is a trusted proxy, the right-most hop of `X-Forwarded-For` that is none. A hop that is no address ends
/// the search at the proxy that vouched for it: what stands left of it is anybody's word.
pub fn of(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
    let mut address = fold(peer);
    if !is_trusted(&address) {
        return address;
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { return address };
        address = fold(hop);
        if !is_trusted(&address) {
            return address;
        }
    }
    address
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
        of(peer.parse().expect("an address"), &headers, &trusted).to_string()
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
        for line in ["", "unknown", "203.0.113.9:80", "[2001:db8::9]", "1.1.1.1 2.2.2.2", "0x7f.1", "1.1.1.1, x"] {
            assert_eq!(client("10.0.0.1", &[line]), "10.0.0.1", "{line:?} was believed");
        }
        assert_eq!(client("10.0.0.1", &["x, 10.0.0.2"]), "10.0.0.2");
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
        assert_eq!(of("10.0.0.1".parse().expect("an address"), &headers, &trusted).to_string(), "10.0.0.1");
    }
}
