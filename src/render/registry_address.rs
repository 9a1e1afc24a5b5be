//! Addresses of registries: `host`, `host:port`, `host/path`, or one of these with `http://` or `https://`.

/// The parts of an address.
pub(super) struct Address<'a> {
    /// Whether the address begins with `http://`.
    pub plain_http: bool,
    /// The host, with the port if there is one.
    pub authority: &'a str,
    /// The path without surrounding slashes. May be empty.
    pub path: &'a str,
}

impl<'a> Address<'a> {
    /// Parses an address. `None` if it is not in canonical form (host in lower case, no empty, `.` or `..` segments), or contains a
    /// character with a meaning in JSON, ini files or URLs.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (plain_http, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => (false, text),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let is_valid = is_host(host)
            && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port))
            && (path.is_empty() || path.split('/').all(is_segment));
        is_valid.then_some(Self { plain_http, authority, path })
    }
}

/// Whether a text is a host name or an IPv4 address, in lower case.
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
