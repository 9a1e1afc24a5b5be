//! A one-time download URL, and whether it may be opened.

use crate::model::ticket::TicketToken;
use reqwest::Url;
use std::fmt;
use std::str::FromStr;

/// A one-time download URL. Its last segment is a secret: no `Display`, and a redacted `Debug`.
#[derive(Clone)]
pub struct Link(Url);

impl Link {
    /// Accepts only a URL with the form of a download in every part. Another could send the secret to a different server.
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

    /// Whether it may be opened after a request to `origin`: never from TLS to a server without. The host may differ, because a
    /// server's public URL may.
    pub fn may_follow(&self, origin: &Url) -> bool {
        self.0.scheme() == origin.scheme() || self.0.scheme() == "https"
    }

    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Link {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("must be a one-time download URL")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_download_is_opened_and_never_from_tls_to_plain_http() {
        let token = format!("{}.{}", "A".repeat(22), "A".repeat(43));
        let good = Link::parse(&format!("https://a:8443/v1/downloads/{token}")).expect("one of ours");
        let plain = Link::parse(&format!("http://a/v1/downloads/{token}")).expect("one of ours");
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
            assert!(Link::parse(&bad).is_none(), "{bad} was taken");
        }
        let origin = |text| Url::parse(text).expect("a URL");
        assert!(good.may_follow(&origin("https://b")) && good.may_follow(&origin("http://a")));
        assert!(plain.may_follow(&origin("http://b")) && !plain.may_follow(&origin("https://a")));
        assert_eq!(format!("{good:?}"), "Link(***)");
    }
}
