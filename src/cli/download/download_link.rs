//! One-time download URLs.

use crate::model::ticket::TicketToken;
use reqwest::Url;
use std::fmt;
use std::str::FromStr;

/// A one-time download URL. Its last segment is a secret: no `Display`, and a redacted `Debug`.
#[derive(Clone)]
pub struct DownloadLink(Url);

impl DownloadLink {
    /// Parses a URL. `None` unless it is scheme, host, path and ticket token of a download URL, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let token = url.path().strip_prefix("/v1/downloads/")?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let is_ours = is_plain && token.parse::<TicketToken>().is_ok();
        is_ours.then_some(Self(url))
    }

    /// Whether the URL may be opened after a request to `origin`: not if that was `https` and the URL is `http`. The host may
    /// differ, because `server.publicUrl` may name another.
    pub fn is_allowed_after(&self, origin: &Url) -> bool {
        self.0.scheme() == origin.scheme() || self.0.scheme() == "https"
    }

    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for DownloadLink {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("must be a one-time download URL")
    }
}

impl fmt::Debug for DownloadLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DownloadLink(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_download_urls_are_accepted_and_not_http_after_https() {
        let token = format!("{}.{}", "A".repeat(22), "A".repeat(43));
        let good = DownloadLink::parse(&format!("https://a:8443/v1/downloads/{token}")).expect("a download URL");
        let plain = DownloadLink::parse(&format!("http://a/v1/downloads/{token}")).expect("a download URL");
        for bad in [
            String::new(),
            format!("/v1/downloads/{token}"),
            format!("ftp://a/v1/downloads/{token}"),
            format!("file:///v1/downloads/{token}"),
            format!("https://u:p@a/v1/downloads/{token}"),
            format!("https://a/v1/downloads/{token}?format=json"),
            format!("https://a/v1/downloads/{token}#x"),
            format!("https://a/v1/downloads/{token}/"),
            format!("https://a/evil/{token}"),
            "https://a/v1/downloads/".into(),
            "https://a/v1/downloads/hunter2".into(),
        ] {
            assert!(DownloadLink::parse(&bad).is_none(), "{bad} was accepted");
        }
        let origin = |text| Url::parse(text).expect("a URL");
        assert!(good.is_allowed_after(&origin("https://b")) && good.is_allowed_after(&origin("http://a")));
        assert!(plain.is_allowed_after(&origin("http://b")) && !plain.is_allowed_after(&origin("https://a")));
        assert_eq!(format!("{good:?}"), "DownloadLink(***)");
    }
}
