//! Validation of server URLs: `http://` or `https://`, a host, an optional port and an optional path.

use super::fault_collector::FaultCollector;
use http::Uri;

/// Validates an address and returns it unchanged.
///
/// # Errors
/// The fault. It does not contain the address, which may contain a password.
pub(super) fn validate(text: String) -> Result<String, &'static str> {
    const INVALID: &str = "must be an address such as https://host:port";
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err("must begin with https:// or http://");
    }
    if text.contains(['?', '#']) {
        return Err("must have no query and no fragment");
    }
    if text.contains('@') {
        return Err("must have no user and no password");
    }
    let uri: Uri = text.parse().map_err(|_| INVALID)?;
    let authority = uri.authority().ok_or(INVALID)?;
    let host = authority.host();
    // The rest of the authority is empty, or a colon and a port.
    let port = authority.as_str().strip_prefix(host).ok_or(INVALID)?;
    let port_is_good = match port.strip_prefix(':') {
        Some(digits) => !digits.starts_with('+') && digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match literal {
        Some(literal) => literal.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if port_is_good && host_is_good { Ok(text) } else { Err(INVALID) }
}

/// Validates a base address, to which paths are appended. Removes trailing slashes.
pub(super) fn validate_base(text: String) -> Result<String, &'static str> {
    validate(text).map(|text| text.trim_end_matches('/').to_owned())
}

/// Validates an address that must have no path.
pub(super) fn validate_server(text: String) -> Result<String, &'static str> {
    let text = validate_base(text)?;
    let has_path = text.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { Err("must have no path") } else { Ok(text) }
}

/// Validates an address that must have TLS and no path.
pub(super) fn validate_https_server(text: String) -> Result<String, &'static str> {
    let text = validate_server(text)?;
    if text.starts_with("https://") { Ok(text) } else { Err("must begin with https://") }
}

/// Validates an address without a path that must have TLS, unless it is a loopback address.
pub(super) fn validate_https_or_local_server(text: String) -> Result<String, &'static str> {
    let text = validate_server(text)?;
    if is_unencrypted_remote(&text) {
        Err("must begin with https:// unless it is an address of this machine")
    } else {
        Ok(text)
    }
}

/// Whether an address has no TLS and is not a loopback address, so that its traffic can be read on the network.
pub(super) fn is_unencrypted_remote(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !(host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()))
}

/// Validates an address that must have no path, if one is set.
pub(super) fn validate_optional(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<String> {
    faults.ok_or_record(pointer, validate_server(value?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_addresses_with_and_without_port_and_path() {
        for text in [
            "https://claviger.claviger.svc:8443",
            "http://127.0.0.1:8080",
            "https://[::1]:8443",
            "https://host",
            "https://host/some/path",
            "http://localhost:65535",
        ] {
            assert_eq!(validate(text.into()).as_deref(), Ok(text));
        }
        assert_eq!(validate("https://host/".into()).as_deref(), Ok("https://host/"));
        assert_eq!(validate_base("https://host/a//".into()).as_deref(), Ok("https://host/a"));
        assert_eq!(validate_server("https://host:1/".into()).as_deref(), Ok("https://host:1"));
    }

    #[test]
    fn refuses_other_texts_without_repeating_them() {
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
            let refused = validate(text.into()).expect_err(text);
            assert!(!refused.contains("hunter2"));
        }
        assert_eq!(validate_server("https://host/v1".into()), Err("must have no path"));
        assert_eq!(validate_https_server("https://host".into()).as_deref(), Ok("https://host"));
        assert_eq!(validate_https_server("http://127.0.0.1:1".into()), Err("must begin with https://"));
        for (text, good) in [
            ("https://host", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://host", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false),
        ] {
            assert_eq!(validate_https_or_local_server(text.into()).is_ok(), good, "{text}");
        }
    }
}
