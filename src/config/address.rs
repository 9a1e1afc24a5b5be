//! Server addresses: `http://` or `https://`, a host, an optional port and an optional path, and nothing else.

use super::check::Check;
use http::Uri;

/// Checks an address and returns it unchanged.
///
/// # Errors
/// A sentence that does not repeat the address, which may hold a password.
pub(super) fn check(text: String) -> Result<String, &'static str> {
    const NOT_AN_ADDRESS: &str = "must be an address such as https://host:port";
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err("must begin with https:// or http://");
    }
    if text.contains(['?', '#']) {
        return Err("must have no query and no fragment");
    }
    if text.contains('@') {
        return Err("must have no user and no password");
    }
    let uri: Uri = text.parse().map_err(|_| NOT_AN_ADDRESS)?;
    let authority = uri.authority().ok_or(NOT_AN_ADDRESS)?;
    let host = authority.host();
    // After the host there may be only a colon and a number.
    let port = authority.as_str().strip_prefix(host).ok_or(NOT_AN_ADDRESS)?;
    let port_is_good = match port.strip_prefix(':') {
        Some(digits) => !digits.starts_with('+') && digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match literal {
        Some(literal) => literal.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if port_is_good && host_is_good { Ok(text) } else { Err(NOT_AN_ADDRESS) }
}

/// Checks a base address, to which paths are appended, and removes trailing slashes.
pub(super) fn check_base(text: String) -> Result<String, &'static str> {
    check(text).map(|text| text.trim_end_matches('/').to_owned())
}

/// Checks an address without a path.
pub(super) fn check_server(text: String) -> Result<String, &'static str> {
    let text = check_base(text)?;
    let has_path = text.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { Err("must have no path") } else { Ok(text) }
}

/// Checks an address that is a server behind TLS and no path on it.
pub(super) fn check_https_server(text: String) -> Result<String, &'static str> {
    let text = check_server(text)?;
    if text.starts_with("https://") { Ok(text) } else { Err("must begin with https://") }
}

/// The same; without TLS on this machine only.
pub(super) fn check_https_or_local_server(text: String) -> Result<String, &'static str> {
    let text = check_server(text)?;
    if is_in_clear(&text) { Err("must begin with https:// unless it is an address of this machine") } else { Ok(text) }
}

/// Whether traffic to an address can be read on the network: no TLS, and not on this machine.
pub(super) fn is_in_clear(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !(host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()))
}

/// Checks the address of a proxy, if one is set.
pub(super) fn proxy(at: &str, value: Option<String>, check: &mut Check) -> Option<String> {
    check.noted(at, check_server(value?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_servers_with_and_without_port_and_path() {
        for text in [
            "https://claviger.claviger.svc:8443",
            "http://127.0.0.1:8080",
            "https://[::1]:8443",
            "https://host",
            "https://host/some/path",
            "http://localhost:65535",
        ] {
            assert_eq!(check(text.into()).as_deref(), Ok(text));
        }
        assert_eq!(check("https://host/".into()).as_deref(), Ok("https://host/"));
        assert_eq!(check_base("https://host/a//".into()).as_deref(), Ok("https://host/a"));
        assert_eq!(check_server("https://host:1/".into()).as_deref(), Ok("https://host:1"));
    }

    #[test]
    fn refuses_everything_else_without_repeating_it() {
        for text in [
            "",
            "host:8443",
            "ftp://host",
            "HTTPS://host",
            "https:/host",
            "https://",
            "https:///path",
            "https://:8443",
            "https://user@host",
            "https://user:hunter2@host",
            "https://host?token=hunter2",
            "https://host#hunter2",
            "https://host:0",
            "https://host:65536",
            "https://host:",
            "https://host:+1",
            "https://host:80:80",
            "https://[::1",
            "https://[hunter2]",
            "https://ho st",
            "https://host\n",
            "https://host\\x",
            "https://h%41st",
            " https://host",
        ] {
            let refused = check(text.into()).expect_err(text);
            assert!(!refused.contains("hunter2"));
        }
        assert_eq!(check_server("https://host/v1".into()), Err("must have no path"));
        assert_eq!(check_https_server("https://host".into()).as_deref(), Ok("https://host"));
        assert_eq!(check_https_server("http://127.0.0.1:1".into()), Err("must begin with https://"));
        for (text, good) in [
            ("https://host", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://host", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false),
        ] {
            assert_eq!(check_https_or_local_server(text.into()).is_ok(), good, "{text}");
        }
    }
}
