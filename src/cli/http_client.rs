//! HTTP clients of commands, and the reading of answers.
//!
//! The clients follow no redirects, use no proxy or proxy variables, and read bodies within a bound.

use super::failure::Failure;
use crate::trust::{ConnectFailure, Trust, TrustError, TrustFiles};
use http::HeaderMap;
use reqwest::{Client, Response, Url, redirect, retry};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

const MAX_REQUEST_ID_BYTES: usize = 64;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Slightly longer than the time limit of the server itself.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A client for URLs of this scheme. With `https`, the server's certificate must be valid.
pub fn client(scheme: &str, ca_file: Option<&Path>) -> Result<Client, Failure> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN);
    let builder = match scheme {
        // Without TLS there is no certificate to check, and no CA bundle is needed.
        "http" => builder.tls_certs_only([]),
        _ => builder.https_only(true).tls_backend_preconfigured(trust(ca_file)?.client_config()),
    };
    builder.build().map_err(|_| no_roots())
}

/// Reads a body of at most `cap` bytes, which is overwritten when dropped.
pub async fn read(response: &mut Response, cap: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let too_large = || Failure::Failed("the server's answer is too large".into());
    let announced = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_large())?;
    if announced > cap {
        return Err(too_large());
    }
    // Full capacity from the start: a vector that grows leaves its old contents in memory.
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > cap {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The server's request id, if it has the expected form.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let is_sane = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES && id.bytes().all(is_sane)).then(|| id.to_owned())
}

/// A description of a reqwest error. The error itself is not shown: its URL may be a secret.
pub fn unreachable(error: &reqwest::Error) -> Failure {
    match ConnectFailure::of(error) {
        Some(failure @ (ConnectFailure::UnknownIssuer | ConnectFailure::CaAsEndEntity)) => {
            Failure::Failed(format!("{} (see --ca-file)", failure.sentence()))
        }
        Some(failure) if failure.may_pass() => Failure::Unreachable(failure.sentence()),
        // A retry does not help.
        Some(failure) => Failure::Failed(failure.sentence().into()),
        None if error.is_timeout() => Failure::Unreachable("no answer in time"),
        None if error.is_connect() => Failure::Unreachable("no connection, or no TLS on it"),
        None => Failure::Unreachable("the connection broke"),
    }
}

/// Whether the host is this machine: 127.0.0.0/8, `::1` or localhost. Other names are not resolved.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn trust(ca_file: Option<&Path>) -> Result<Trust, Failure> {
    let files = TrustFiles { ca: ca_file.map(Path::to_owned), client: None };
    Trust::open("--ca-file", &files).map_err(|error| match (error, ca_file) {
        (TrustError::CaFile, Some(file)) => {
            Failure::usage(format!("--ca-file: {}: cannot be read or holds no PEM certificate", file.display()))
        }
        _ => no_roots(),
    })
}

fn no_roots() -> Failure {
    Failure::usage("no usable root certificates are installed; use --ca-file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_request_id_is_dropped() {
        let id = |text: &str| request_id(&HeaderMap::from_iter([("x-request-id".parse().ok()?, text.parse().ok()?)]));
        assert_eq!(id("0a-B_c.9").as_deref(), Some("0a-B_c.9"));
        for bad in ["", "a b", "a\tb", "é", &"a".repeat(65)] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
