//! Where a registry is: `host`, `host:port`, `host/path` or the same as a URL.

/// An address, in its parts.
pub(super) struct Address<'a> {
    /// Whether `http://` stands before it.
    pub plain_http: bool,
    /// The host, with its port if it has one.
    pub authority: &'a str,
    /// The path without slashes around it; often nothing.
    pub path: &'a str,
}

impl<'a> Address<'a> {
    /// Takes an address apart. Nothing in it has a meaning to JSON, to an ini file or to a URL but its own, and there is
    /// one spelling: the host is in lower case, the path has neither empty parts nor dots to climb by.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let (plain_http, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => (false, text),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let well = is_host(host)
            && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port))
            && (path.is_empty() || path.split('/').all(is_segment));
        well.then_some(Self { plain_http, authority, path })
    }
}

/// Whether it is the name of a host or an IPv4 address, in lower case.
pub(super) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && !label.starts_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'@'))
}
