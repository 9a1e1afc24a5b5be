//! The part of a source address to which rate limits and counters apply.

use std::net::{IpAddr, Ipv6Addr};

/// Sets the last 64 bits of an IPv6 address to zero, because a host may choose them (RFC 4291, 2.5.1). Returns an IPv4 address
/// unchanged.
#[must_use]
pub fn ipv6_prefix(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_network_have_the_same_prefix() {
        for (ip, prefix) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
            ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::"),
            ("2001:db8:0:2::1", "2001:db8:0:2::"),
        ] {
            let parsed = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(ipv6_prefix(parsed(ip)), parsed(prefix));
        }
    }
}
