//! Parses the responses to requests that create, renew or revoke a lease. Pure. A missing, zero, negative or implausible
//! lifetime never means "no expiry".

use super::mounts::Engine;
use super::responses::{parse_not_found, parse_ttl};
use crate::model::secret::{Secret, SecretValue};
use crate::stores::dynamic_store::{CreatedSecret, GrantedLifetime};
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::outbound::StoreResponse;
use crate::stores::port::{EngineMismatch, ReadError};
use crate::stores::values::{into_secret_value, parse_values};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct LeaseBody<'a> {
    #[serde(borrow)]
    lease_id: Option<&'a RawValue>,
    #[serde(borrow)]
    lease_duration: Option<&'a RawValue>,
    renewable: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl LeaseBody<'_> {
    fn grant(&self) -> Option<GrantedLifetime> {
        Some(GrantedLifetime { ttl: parse_ttl(self.lease_duration?.get())?, renewable: self.renewable == Some(true) })
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { data: parse_values(self.data?).ok()?, version: None, created_at: None, stale: false })
    }

    /// The lease ID, if there is one. A malformed ID is an error.
    fn lease_id(&self) -> Result<Option<SecretValue>, ReadError> {
        match self.lease_id.map(RawValue::get) {
            None | Some("null" | r#""""#) => Ok(None),
            Some(json) if json.starts_with('"') => {
                unescape(json).map(into_secret_value).map(Some).map_err(|_| ReadError::Unavailable)
            }
            Some(_) => Err(ReadError::Unavailable),
        }
    }
}

/// Parses the response to a read or a write that creates a secret.
///
/// # Errors
/// `Misconfigured` for an unknown path or role, `EngineMismatch` if the engine does not support the method or does not answer
/// in JSON (`pki/ca/pem`, `ssh/public_key`).
pub(super) fn parse_created(response: &StoreResponse, is_write: bool) -> Result<CreatedSecret, ReadError> {
    match response.status {
        200 => {}
        // The write has configured something and created no secret.
        204 if is_write => return Err(EngineMismatch::NotJson.into()),
        // "unknown role", or for a write "the common_name field is required".
        400 => return Err(ReadError::Misconfigured),
        // "unsupported operation".
        405 if is_write => return Err(EngineMismatch::WriteUnsupported.into()),
        405 => return Err(EngineMismatch::WriteRequired.into()),
        403 => return Err(ReadError::Forbidden),
        404 => return Err(parse_not_found(&response.body, Engine::Dynamic)),
        _ => return Err(ReadError::Unavailable),
    }
    if !response.body.is_empty() && serde_json::from_slice::<IgnoredAny>(&response.body).is_err() {
        return Err(EngineMismatch::NotJson.into());
    }
    let body: LeaseBody<'_> = parse_object(&response.body).ok_or(ReadError::Unavailable)?;
    match (body.lease_id()?, body.secret(), body.grant()) {
        (Some(lease_id), Some(secret), Some(grant)) => Ok(CreatedSecret::Leased { secret, lease_id, grant }),
        (Some(lease_id), _, _) => Ok(CreatedSecret::Unusable { lease_id }),
        (None, Some(secret), _) => Ok(CreatedSecret::Unleased(secret)),
        (None, None, _) => Err(ReadError::Unavailable),
    }
}

/// Parses the response to a renewal: the new lifetime from now.
///
/// # Errors
/// `Misconfigured` if the lease does not exist or is not renewable.
pub(super) fn parse_renewed(response: &StoreResponse) -> Result<GrantedLifetime, ReadError> {
    match response.status {
        200 => {
            parse_object::<LeaseBody<'_>>(&response.body).and_then(|body| body.grant()).ok_or(ReadError::Unavailable)
        }
        status => Err(error_for_status(status)),
    }
}

/// Parses the response to a revocation. The status is 204 also for a lease that does not exist any more.
///
/// # Errors
/// `Misconfigured` if the engine failed to revoke it (400: for example a PostgreSQL role that owns a table).
pub(super) fn parse_revoked(response: &StoreResponse) -> Result<(), ReadError> {
    match response.status {
        200 | 204 => Ok(()),
        status => Err(error_for_status(status)),
    }
}

/// The error for the status of a failed renewal or revocation.
const fn error_for_status(status: u16) -> ReadError {
    match status {
        400 | 404 => ReadError::Misconfigured,
        403 => ReadError::Forbidden,
        _ => ReadError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    //! Responses marked "seen" were recorded from OpenBao 2.7.2.

    use super::*;
    use ReadError::{Absent, Forbidden, Misconfigured, Unavailable};
    use std::time::Duration;
    use zeroize::Zeroizing;

    fn response(status: u16, body: &str) -> StoreResponse {
        StoreResponse { status, retry_after: None, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    fn secret() -> Secret {
        Secret {
            data: [("K".into(), Some(SecretValue::new("v".into())))].into(),
            version: None,
            created_at: None,
            stale: false,
        }
    }

    #[test]
    fn a_lease_without_a_valid_lifetime_or_data_is_unusable() {
        let lease_id = || SecretValue::new("db/creds/r/x".into());
        let body = |duration: &str| {
            response(200, &format!(r#"{{"lease_id":"db/creds/r/x",{duration}"renewable":true,"data":{{"K":"v"}}}}"#))
        };
        let grant = |seconds| GrantedLifetime { ttl: Duration::from_secs(seconds), renewable: true };
        for (duration, seconds) in [(r#""lease_duration":1,"#, 1), (r#""lease_duration":315360000,"#, 315_360_000)] {
            assert_eq!(
                parse_created(&body(duration), false),
                Ok(CreatedSecret::Leased { secret: secret(), lease_id: lease_id(), grant: grant(seconds) }),
                "{duration}"
            );
        }
        for duration in
            ["0", "-1", "2147483648", "1e3", "1.5", "\"60\"", "\"x\"", "null", "[60]", "99999999999999999999"]
        {
            let duration = format!(r#""lease_duration":{duration},"#);
            assert_eq!(
                parse_created(&body(&duration), false),
                Ok(CreatedSecret::Unusable { lease_id: lease_id() }),
                "{duration}"
            );
        }
        assert_eq!(parse_created(&body(""), false), Ok(CreatedSecret::Unusable { lease_id: lease_id() }), "none");
        let no_data = response(200, r#"{"lease_id":"db/creds/r/x","lease_duration":60,"data":null}"#);
        assert_eq!(parse_created(&no_data, false), Ok(CreatedSecret::Unusable { lease_id: lease_id() }));
    }

    #[test]
    fn a_secret_without_a_lease_id_is_unleased() {
        for id in ["", r#""lease_id":"","#, r#""lease_id":null,"#] {
            let body = format!(r#"{{{id}"lease_duration":60,"renewable":false,"data":{{"K":"v"}}}}"#);
            assert_eq!(parse_created(&response(200, &body), false), Ok(CreatedSecret::Unleased(secret())), "{id}");
        }
    }

    #[test]
    fn every_other_response_is_an_error() {
        for (status, body, expected) in [
            (400, r#"{"errors":["unknown role: none"]}"#, Misconfigured), // seen
            (404, r#"{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}"#, Misconfigured), // seen
            (404, r#"{"errors":[]}"#, Absent),                            // seen: no such certificate
            (
                405,
                r#"{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}"#,
                EngineMismatch::WriteRequired.into(),
            ), // seen
            (200, "-----BEGIN CERTIFICATE-----\nMII", EngineMismatch::NotJson.into()), // seen: pki/ca/pem
            (200, "ssh-rsa AAAA", EngineMismatch::NotJson.into()),        // seen: ssh/public_key
            (403, r#"{"errors":["permission denied"]}"#, Forbidden),
            (500, r#"{"errors":["the database is away"]}"#, Unavailable),
            (503, r#"{"errors":["Vault is sealed"]}"#, Unavailable),
            (204, "", Unavailable),
            (200, "", Unavailable),
            (200, "[]", Unavailable),
            (200, r#"{"lease_id":"","data":null}"#, Unavailable),
            (200, r#"{"lease_id":7,"lease_duration":60,"data":{"K":"v"}}"#, Unavailable),
            (200, r#"{"lease_id":"\ud800","lease_duration":60,"data":{"K":"v"}}"#, Unavailable),
        ] {
            assert_eq!(parse_created(&response(status, body), false), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn the_response_to_a_write_is_parsed_like_that_to_a_read() {
        let issued = response(200, r#"{"lease_id":"","renewable":false,"lease_duration":0,"data":{"K":"v"}}"#); // seen
        assert_eq!(parse_created(&issued, true), Ok(CreatedSecret::Unleased(secret())));
        for (status, body, expected) in [
            (
                405,
                r#"{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}"#,
                EngineMismatch::WriteUnsupported.into(),
            ),
            (204, "", EngineMismatch::NotJson.into()),
            (400, r#"{"errors":["the common_name field is required"]}"#, Misconfigured),
            (403, r#"{"errors":["permission denied"]}"#, Forbidden),
            (500, r#"{"errors":["the database is away"]}"#, Unavailable),
        ] {
            assert_eq!(parse_created(&response(status, body), true), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn a_renewal_has_a_positive_lifetime_or_is_an_error() {
        let good = response(200, r#"{"lease_id":"x","lease_duration":2,"renewable":true,"data":null}"#); // seen
        assert_eq!(parse_renewed(&good), Ok(GrantedLifetime { ttl: Duration::from_secs(2), renewable: true }));
        for (status, body, expected) in [
            (400, r#"{"errors":["lease not found"]}"#, Misconfigured), // seen
            (403, r#"{"errors":["permission denied"]}"#, Forbidden),
            (200, r#"{"lease_id":"x","lease_duration":0,"renewable":true}"#, Unavailable),
            (200, r#"{"lease_id":"x","renewable":true}"#, Unavailable),
            (503, "", Unavailable),
        ] {
            assert_eq!(parse_renewed(&response(status, body)), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn each_status_of_a_revocation_has_its_error() {
        assert_eq!(parse_revoked(&response(204, "")), Ok(())); // seen, also for an expired lease
        for (status, expected) in [(400, Misconfigured), (403, Forbidden), (500, Unavailable), (503, Unavailable)] {
            assert_eq!(
                parse_revoked(&response(status, r#"{"errors":["failed to revoke entry"]}"#)),
                Err(expected),
                "{status}"
            );
        }
    }
}
