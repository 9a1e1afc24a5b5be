//! `PUT sys/leases/renew` and `PUT sys/leases/revoke`. `vaultrs` has no types for them.

use crate::model::secret::SecretValue;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::Serialize;
use serde::de::IgnoredAny;
use std::time::Duration;

/// Extends a lease.
pub(in crate::stores::vault) struct RenewLease<'a> {
    /// The lease id.
    pub(in crate::stores::vault) lease_id: &'a SecretValue,
    /// The wanted lifetime from now, in whole seconds.
    pub(in crate::stores::vault) increment: Duration,
}

impl Endpoint for RenewLease<'_> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        "sys/leases/renew".to_owned()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::PUT
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        body(self.lease_id, Some(self.increment.as_secs()), None)
    }
}

/// Revokes a lease. The server answers when the secret is revoked at the system behind the engine.
pub(in crate::stores::vault) struct RevokeLease<'a> {
    /// The lease id.
    pub(in crate::stores::vault) lease_id: &'a SecretValue,
}

impl Endpoint for RevokeLease<'_> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        "sys/leases/revoke".to_owned()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::PUT
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        body(self.lease_id, None, Some(true))
    }
}

#[expect(clippy::disallowed_methods, reason = "the lease ID goes to the store that issued it")]
fn body(lease_id: &SecretValue, increment: Option<u64>, sync: Option<bool>) -> Result<Option<Vec<u8>>, ClientError> {
    #[derive(Serialize)]
    struct Body<'a> {
        lease_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        increment: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sync: Option<bool>,
    }
    // Capacity for all of it, every byte escaped: a vector that grows leaves its old contents behind.
    let mut body = Vec::with_capacity(6 * lease_id.len() + 64);
    serde_json::to_writer(&mut body, &Body { lease_id: lease_id.expose_secret(), increment, sync })
        .map_err(|error| ClientError::DataParseError { source: error.into() })?;
    Ok(Some(body))
}
