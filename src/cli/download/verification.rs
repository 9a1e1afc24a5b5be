//! Verifies that a download is complete and unchanged: its headers, length, digest and last line.

use crate::cli::command_error::CommandError;
use crate::model::format::Format;
use crate::sealing::digest::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

/// Maximum length of the digest in `X-Claviger-Versions`. A longer value is ignored: Claviger sends shorter ones.
const MAX_VERSIONS_DIGEST_BYTES: usize = 128;

/// What the headers of a response state about its body.
pub struct DownloadHeaders {
    length: usize,
    digest: Vec<u8>,
    /// Whether the server returned older values because a store was unavailable.
    pub stale: bool,
    /// Keyed digest of the versions of the secrets. `None` if the header is missing, or has other characters than ASCII letters
    /// and digits.
    pub versions_digest: Option<String>,
}

impl DownloadHeaders {
    /// Parses the headers. Fails if the media type, the length or the digest is missing, repeated or not as Claviger sends it, or
    /// if the body is compressed. The headers of `stale` and `versions_digest` are optional.
    pub fn parse(headers: &HeaderMap, format: Format) -> Result<Self, CommandError> {
        let single = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        if single(CONTENT_TYPE.as_str()) != Some(format.media_type()) {
            return Err(unexpected_response("it is of another media type"));
        }
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(unexpected_response("it is compressed"));
        }
        let digest = single("repr-digest").and_then(parse_sha256);
        let digest = digest.ok_or_else(|| unexpected_response("it has no valid Repr-Digest with sha-256"))?;
        let length = single(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| unexpected_response("it has no valid Content-Length"))?;
        let stale = single("x-claviger-stale") == Some("true");
        let is_word =
            |text: &&str| text.len() <= MAX_VERSIONS_DIGEST_BYTES && text.bytes().all(|b| b.is_ascii_alphanumeric());
        let versions_digest = single("x-claviger-versions").filter(is_word).map(str::to_owned);
        Ok(Self { length, digest, stale, versions_digest })
    }
}

/// Parses the member `sha-256=:base64:` of `Repr-Digest` (RFC 9530).
fn parse_sha256(header: &str) -> Option<Vec<u8>> {
    let member = header.split(',').find_map(|member| member.trim().strip_prefix("sha-256="))?;
    STANDARD.decode(member.strip_prefix(':')?.strip_suffix(':')?).ok()
}

/// Checks that the body matches its headers, and ends as its format requires. `key_count` is the number of keys of the ticket,
/// if known.
pub fn verify(
    body: &[u8],
    headers: &DownloadHeaders,
    format: Format,
    key_count: Option<usize>,
) -> Result<(), CommandError> {
    if body.len() != headers.length {
        return Err(unexpected_response("its length differs from Content-Length"));
    }
    if sha256(body)[..] != headers.digest[..] {
        return Err(unexpected_response("its digest differs from Repr-Digest"));
    }
    let needs_end_line = matches!(format, Format::Export | Format::Dotenv | Format::DotenvExpand)
        && !(body.is_empty() && key_count.unwrap_or(0) == 0);
    if needs_end_line && !has_end_line(body, key_count) {
        return Err(unexpected_response("it does not end with the count of its keys"));
    }
    Ok(())
}

/// Whether the last line is `# claviger: N keys` with the expected number, or with any number if the expected one is not known.
fn has_end_line(body: &[u8], key_count: Option<usize>) -> bool {
    let Some(lines) = body.strip_suffix(b"\n") else { return false };
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let count =
        std::str::from_utf8(last).ok().and_then(|line| line.strip_prefix("# claviger: ")?.strip_suffix(" keys"));
    count
        .and_then(|count| count.parse().ok())
        .is_some_and(|count: usize| key_count.is_none_or(|expected| expected == count))
}

fn unexpected_response(why: &str) -> CommandError {
    CommandError::Other(format!("the response is not an intact download from Claviger: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"export A='1'\n# claviger: 1 keys\n";

    fn headers(changes: &[(&'static str, Option<&str>)]) -> HeaderMap {
        let digest = format!("sha-256=:{}:", STANDARD.encode(sha256(BODY)));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", Format::Export.media_type().parse().expect("a value"));
        headers.insert("content-length", BODY.len().into());
        headers.insert("repr-digest", digest.parse().expect("a value"));
        for (name, value) in changes {
            headers.remove(*name);
            if let Some(value) = value {
                headers.insert(*name, value.parse().expect("a value"));
            }
        }
        headers
    }

    fn verify_with(
        changes: &[(&'static str, Option<&str>)],
        body: &[u8],
        keys: Option<usize>,
    ) -> Result<(), CommandError> {
        verify(body, &DownloadHeaders::parse(&headers(changes), Format::Export)?, Format::Export, keys)
    }

    #[test]
    fn complete_download_is_accepted() {
        assert!(verify_with(&[], BODY, Some(1)).is_ok());
        assert!(verify_with(&[], BODY, None).is_ok());
        let with_others = format!("sha-512=:AA==:, sha-256=:{}:", STANDARD.encode(sha256(BODY)));
        assert!(verify_with(&[("repr-digest", Some(&with_others))], BODY, Some(1)).is_ok());
    }

    #[test]
    fn optional_headers_are_parsed_or_ignored() {
        assert!(
            DownloadHeaders::parse(&headers(&[("x-claviger-stale", Some("true"))]), Format::Export)
                .is_ok_and(|head| head.stale)
        );
        for (digest, word) in [("0aF9", Some("0aF9")), ("a b", None), ("a:b", None)] {
            let head = DownloadHeaders::parse(&headers(&[("x-claviger-versions", Some(digest))]), Format::Export);
            assert_eq!(head.expect("valid headers").versions_digest.as_deref(), word);
        }
    }

    #[test]
    fn every_difference_is_refused() {
        let other_digest = format!("sha-256=:{}:", STANDARD.encode([0; 32]));
        for changes in [
            ("content-type", None),
            ("content-type", Some("text/html")),
            ("content-type", Some("application/json")),
            ("content-encoding", Some("gzip")),
            ("content-length", None),
            ("content-length", Some("-1")),
            ("content-length", Some("31")),
            ("content-length", Some("33")),
            ("repr-digest", None),
            ("repr-digest", Some("sha-256=AA==")),
            ("repr-digest", Some("sha-512=:AA==:")),
            ("repr-digest", Some(&other_digest)),
        ] {
            assert!(verify_with(&[changes], BODY, Some(1)).is_err(), "{changes:?} was accepted");
        }
        assert!(verify_with(&[], BODY, Some(2)).is_err(), "a key is missing");
        let mut twice = headers(&[]);
        twice.append("content-length", 32.into());
        assert!(DownloadHeaders::parse(&twice, Format::Export).is_err());
    }

    #[test]
    fn end_line_must_be_the_last_line() {
        for (body, keys, good) in [
            (&b""[..], Some(0), true),
            (b"", None, true),
            (b"", Some(1), false),
            (b"# claviger: 1 keys\n", Some(1), true),
            (b"# claviger: 1 keys", Some(1), false),
            (b"# claviger: 1 keys\n\n", Some(1), false),
            (b"# claviger: 1 keys\nexport B='\n", Some(1), false),
            (b"# claviger: -1 keys\n", None, false),
            (b"<html></html>\n", None, false),
        ] {
            let head = DownloadHeaders {
                length: body.len(),
                digest: sha256(body).to_vec(),
                stale: false,
                versions_digest: None,
            };
            assert_eq!(verify(body, &head, Format::Dotenv, keys).is_ok(), good, "{body:?}");
        }
        let head = DownloadHeaders { length: 2, digest: sha256(b"{}").to_vec(), stale: false, versions_digest: None };
        assert!(verify(b"{}", &head, Format::Json, Some(0)).is_ok());
    }
}
