//! Builds the HTTP clients of commands, and reads response bodies.
//!
//! The clients ignore proxy variables and follow no redirects. A response body beyond a maximum size is an error.

use super::command_error::CommandError;
use crate::trust::{ConnectFailure, Trust, TrustError, TrustFiles};
use http::HeaderMap;
use reqwest::{Client, Response, Url, redirect, retry};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

const MAX_REQUEST_ID_BYTES: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of a response, slightly longer than the default time limit of a server (`limits.requestTimeout`).
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client for URLs of this scheme. With `https`, the server's certificate must be valid.
pub fn client(scheme: &str, ca_file: Option<&Path>) -> Result<Client, CommandError> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(RESPONSE_TIMEOUT);
    let builder = match scheme {
        // Without TLS there is no certificate to check, and no CA bundle is needed.
        "http" => builder.tls_certs_only([]),
        _ => builder.https_only(true).tls_backend_preconfigured(trust(ca_file)?.client_config()),
    };
    builder.build().map_err(|_| no_root_certificates())
}

/// Reads a body, which is overwritten when dropped. A body of more than `max_bytes` is an error.
pub async fn read_body(response: &mut Response, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let announced =
        response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| CommandError::AnswerTooLarge)?;
    if announced > max_bytes {
        return Err(CommandError::AnswerTooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = response.chunk().await.map_err(|error| connection_error(&error))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(CommandError::AnswerTooLarge);
        }
        append(&mut body, &chunk);
    }
    Ok(body)
}

/// Appends bytes. A vector that grows by itself leaves a copy of its contents in memory; this function overwrites the copy.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let length = body.len() + chunk.len();
    if length > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

/// The request id in the response headers. `None` if it is missing or malformed.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES && id.bytes().all(is_allowed)).then(|| id.to_owned())
}

/// Converts an error of reqwest. Its text is not used, because the text includes the URL, which may be a secret.
pub fn connection_error(error: &reqwest::Error) -> CommandError {
    match ConnectFailure::from_error(error) {
        Some(failure @ (ConnectFailure::UnknownIssuer | ConnectFailure::CaAsEndEntity)) => {
            CommandError::Other(format!("{} (see --ca-file)", failure.sentence()))
        }
        Some(failure) if failure.is_transient() => CommandError::Unreachable(failure.sentence()),
        // Not `Unreachable`, after which commands retry: a retry is useless.
        Some(failure) => CommandError::Other(failure.sentence().into()),
        None if error.is_timeout() => CommandError::Unreachable("no answer in time"),
        None if error.is_connect() => CommandError::Unreachable("no connection, or no TLS on it"),
        None => CommandError::Unreachable("the connection broke"),
    }
}

/// Whether the host is 127.0.0.0/8, `::1` or localhost. Other names are not resolved.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn trust(ca_file: Option<&Path>) -> Result<Trust, CommandError> {
    let files = TrustFiles { ca: ca_file.map(Path::to_owned), client: None };
    Trust::open("--ca-file", &files).map_err(|error| match (error, ca_file) {
        (TrustError::CaFile, Some(file)) => {
            CommandError::usage(format!("--ca-file: {}: cannot be read or holds no PEM certificate", file.display()))
        }
        _ => no_root_certificates(),
    })
}

fn no_root_certificates() -> CommandError {
    CommandError::usage("no usable root certificates are installed; use --ca-file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_body_is_complete_for_any_chunk_sizes() {
        let mut body = Zeroizing::new(Vec::new());
        for length in [0, 1, 3, 60, 7, 1000] {
            append(&mut body, &vec![1; length]);
        }
        assert_eq!(body.capacity(), 2048, "a reallocation by Vec itself would leave a copy");
        assert_eq!(*body, vec![1; 1071]);
    }

    #[test]
    fn malformed_request_id_is_ignored() {
        let id = |text: &str| request_id(&HeaderMap::from_iter([("x-request-id".parse().ok()?, text.parse().ok()?)]));
        assert_eq!(id("0a-B_c.9").as_deref(), Some("0a-B_c.9"));
        for bad in ["", "a b", "a\tb", "é", &"a".repeat(65)] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
