//! Endpoints of Vault that are defined here and not by `vaultrs`: calls that `vaultrs` does not support, and writes.
//!
//! The types of `vaultrs` for writes, such as `pki::requests::GenerateCertificateRequest`, send only the fields that they know.
//! Here the body is that of the policy, unchanged. The response type is `IgnoredAny`, because `responses` and `lease_responses`
//! parse the responses.

use crate::model::secret::SecretValue;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::Serialize;
use serde::de::IgnoredAny;
use std::time::Duration;

/// An endpoint that `vaultrs` lacks, with its parameters. Paths are not percent-encoded.
pub(super) enum VaultEndpoint<'a> {
    /// `GET sys/internal/ui/mounts/<path>`: the mount of a path.
    ReadMount { path: &'a str },
    /// Creates a secret of a dynamic engine: `GET` of its path, or `POST` of a JSON text.
    CreateSecret { path: &'a str, json: Option<&'a str> },
    /// `PUT sys/leases/renew`, with the requested lifetime from now in whole seconds.
    RenewLease { lease_id: &'a SecretValue, increment: Duration },
    /// `PUT sys/leases/revoke` with `sync`: the server responds after the secret is revoked at the backend system.
    RevokeLease { lease_id: &'a SecretValue },
    /// `POST sys/capabilities-self`: the capabilities of the broker's token on API paths, which are given without `v1/`.
    CapabilitiesSelf { paths: &'a [String] },
}

impl Endpoint for VaultEndpoint<'_> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        match self {
            Self::ReadMount { path } => format!("sys/internal/ui/mounts/{path}"),
            Self::CreateSecret { path, .. } => (*path).to_owned(),
            Self::RenewLease { .. } => "sys/leases/renew".to_owned(),
            Self::RevokeLease { .. } => "sys/leases/revoke".to_owned(),
            Self::CapabilitiesSelf { .. } => "sys/capabilities-self".to_owned(),
        }
    }

    fn method(&self) -> RequestMethod {
        match self {
            Self::ReadMount { .. } | Self::CreateSecret { json: None, .. } => RequestMethod::GET,
            Self::CreateSecret { json: Some(_), .. } | Self::CapabilitiesSelf { .. } => RequestMethod::POST,
            Self::RenewLease { .. } | Self::RevokeLease { .. } => RequestMethod::PUT,
        }
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let body = match self {
            Self::ReadMount { .. } => return Ok(None),
            Self::CreateSecret { json, .. } => return Ok(json.map(|json| json.as_bytes().to_vec())),
            Self::RenewLease { lease_id, increment } => lease_body(lease_id, Some(increment.as_secs()), None),
            Self::RevokeLease { lease_id } => lease_body(lease_id, None, Some(true)),
            Self::CapabilitiesSelf { paths } => serde_json::to_vec(&serde_json::json!({"paths": paths})),
        };
        body.map(Some).map_err(|error| ClientError::DataParseError { source: error.into() })
    }
}

#[expect(clippy::disallowed_methods, reason = "the lease ID goes to the store that issued it")]
fn lease_body(lease_id: &SecretValue, increment: Option<u64>, sync: Option<bool>) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        lease_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        increment: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sync: Option<bool>,
    }
    // Enough capacity even if every byte is escaped: a vector that grows leaves its old content in memory.
    let mut body = Vec::with_capacity(6 * lease_id.len() + 64);
    serde_json::to_writer(&mut body, &Body { lease_id: lease_id.expose_secret(), increment, sync })?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use vaultrs::api::pki::requests::GenerateCertificateRequest;

    /// Why `vaultrs` is not used for `pki/issue`: it drops fields of the policy.
    #[test]
    fn a_write_sends_the_body_of_the_policy_unchanged() {
        let json = r#"{"common_name":"a.example","not_after":"2027-01-01T00:00:00Z","serial":12345678901234567890123,"x":1.50}"#;
        let body = VaultEndpoint::CreateSecret { path: "pki/issue/web", json: Some(json) }.body().unwrap().unwrap();
        assert_eq!(body, json.as_bytes());

        let mut request = GenerateCertificateRequest { mount: "pki".into(), role: "web".into(), ..Default::default() };
        request.common_name = Some("a.example".into());
        let sent: Value = serde_json::from_slice(&request.body().unwrap().unwrap()).unwrap();
        assert_eq!(sent, json!({"common_name": "a.example"}), "it has no field for the rest");
    }
}
