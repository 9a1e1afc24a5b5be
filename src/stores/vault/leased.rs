//! The meaning of answers about leases. Pure. A lifetime that is missing, zero, negative or implausible never
//! means "no expiry".

use super::answers::{not_found, ttl};
use super::mounts::Engine;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::dynamic::Grant;
use crate::stores::json_text::{object, unescape};
use crate::stores::outbound::Answer;
use crate::stores::port::{ReadError, Unsuitable};
use crate::stores::values::{owned, values};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A created secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// With a lease id and a lifetime.
    Leased(Secret, SecretValue, Grant),
    /// Without a lease id.
    Unleased(Secret),
    /// With a lease id, but without a valid lifetime or valid values.
    Unusable(SecretValue),
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    lease_id: Option<&'a RawValue>,
    #[serde(borrow)]
    lease_duration: Option<&'a RawValue>,
    renewable: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Body<'_> {
    fn grant(&self) -> Option<Grant> {
        Some(Grant { ttl: ttl(self.lease_duration?.get())?, renewable: self.renewable == Some(true) })
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { data: values(self.data?).ok()?, version: None, created_at: None, stale: false })
    }

    /// The lease id, if there is one. A malformed one is an error.
    fn handle(&self) -> Result<Option<SecretValue>, ReadError> {
        match self.lease_id.map(RawValue::get) {
            None | Some("null" | r#""""#) => Ok(None),
            Some(json) if json.starts_with('"') => {
                unescape(json).map(owned).map(Some).map_err(|_| ReadError::Unavailable)
            }
            Some(_) => Err(ReadError::Unavailable),
        }
    }
}

/// The answer to a read or a write that creates a secret.
///
/// # Errors
/// `Misconfigured` for an unknown path or role, `Unsuitable` if the engine does not support the method or does not answer
/// in JSON (`pki/ca/pem`, `ssh/public_key`).
pub(super) fn created(answer: &Answer, written: bool) -> Result<Created, ReadError> {
    match answer.status {
        200 => {}
        // A write that configures something.
        204 if written => return Err(Unsuitable::NotJson.into()),
        // "unknown role"; at a write also "the common_name field is required".
        400 => return Err(ReadError::Misconfigured),
        // "unsupported operation".
        405 if written => return Err(Unsuitable::TakesNoWrite.into()),
        405 => return Err(Unsuitable::WantsWrite.into()),
        403 => return Err(ReadError::Forbidden),
        404 => return Err(not_found(&answer.body, Engine::Dynamic)),
        _ => return Err(ReadError::Unavailable),
    }
    if !answer.body.is_empty() && serde_json::from_slice::<IgnoredAny>(&answer.body).is_err() {
        return Err(Unsuitable::NotJson.into());
    }
    let body: Body<'_> = object(&answer.body).ok_or(ReadError::Unavailable)?;
    match (body.handle()?, body.secret(), body.grant()) {
        (Some(handle), Some(secret), Some(grant)) => Ok(Created::Leased(secret, handle, grant)),
        (Some(handle), _, _) => Ok(Created::Unusable(handle)),
        (None, Some(secret), _) => Ok(Created::Unleased(secret)),
        (None, None, _) => Err(ReadError::Unavailable),
    }
}

/// The answer to a renewal: the lifetime from now.
///
/// # Errors
/// `Misconfigured` if the lease does not exist or is not renewable.
pub(super) fn renewed(answer: &Answer) -> Result<Grant, ReadError> {
    match answer.status {
        200 => object::<Body<'_>>(&answer.body).and_then(|body| body.grant()).ok_or(ReadError::Unavailable),
        400 | 404 => Err(ReadError::Misconfigured),
        403 => Err(ReadError::Forbidden),
        _ => Err(ReadError::Unavailable),
    }
}

/// The answer to a revocation; also 204 for a lease that does not exist any more.
///
/// # Errors
/// `Misconfigured` if the engine failed to revoke it (400: a role that owns a table).
pub(super) fn revoked(answer: &Answer) -> Result<(), ReadError> {
    match answer.status {
        200 | 204 => Ok(()),
        400 | 404 => Err(ReadError::Misconfigured),
        403 => Err(ReadError::Forbidden),
        _ => Err(ReadError::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReadError::{Absent, Forbidden, Misconfigured, Unavailable};
    use std::time::Duration;
    use zeroize::Zeroizing;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: Zeroizing::new(body.as_bytes().to_vec()) }
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
    fn what_has_a_handle_has_an_end_or_is_of_no_use() {
        let handle = || SecretValue::new("db/creds/r/x".into());
        let body = |duration: &str| {
            answer(200, &format!(r#"{{"lease_id":"db/creds/r/x",{duration}"renewable":true,"data":{{"K":"v"}}}}"#))
        };
        let grant = |seconds| Grant { ttl: Duration::from_secs(seconds), renewable: true };
        for (duration, seconds) in [(r#""lease_duration":1,"#, 1), (r#""lease_duration":315360000,"#, 315_360_000)] {
            assert_eq!(
                created(&body(duration), false),
                Ok(Created::Leased(secret(), handle(), grant(seconds))),
                "{duration}"
            );
        }
        for duration in
            ["0", "-1", "2147483648", "1e3", "1.5", "\"60\"", "\"x\"", "null", "[60]", "99999999999999999999"]
        {
            let duration = format!(r#""lease_duration":{duration},"#);
            assert_eq!(created(&body(&duration), false), Ok(Created::Unusable(handle())), "{duration}");
        }
        assert_eq!(created(&body(""), false), Ok(Created::Unusable(handle())), "none");
        let no_data = answer(200, r#"{"lease_id":"db/creds/r/x","lease_duration":60,"data":null}"#);
        assert_eq!(created(&no_data, false), Ok(Created::Unusable(handle())));
    }

    #[test]
    fn what_has_no_handle_has_no_lease() {
        for id in ["", r#""lease_id":"","#, r#""lease_id":null,"#] {
            let body = format!(r#"{{{id}"lease_duration":60,"renewable":false,"data":{{"K":"v"}}}}"#);
            assert_eq!(created(&answer(200, &body), false), Ok(Created::Unleased(secret())), "{id}");
        }
    }

    #[test]
    fn every_other_answer_is_an_error() {
        for (status, body, expected) in [
            (400, r#"{"errors":["unknown role: none"]}"#, Misconfigured), // seen
            (404, r#"{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}"#, Misconfigured), // seen
            (404, r#"{"errors":[]}"#, Absent),                            // seen: no such certificate
            (405, r#"{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}"#, Unsuitable::WantsWrite.into()), // seen
            (200, "-----BEGIN CERTIFICATE-----\nMII", Unsuitable::NotJson.into()), // seen: pki/ca/pem
            (200, "ssh-rsa AAAA", Unsuitable::NotJson.into()),                     // seen: ssh/public_key
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
            assert_eq!(created(&answer(status, body), false), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn a_write_is_answered_like_a_read_where_the_engine_takes_one() {
        let issued = answer(200, r#"{"lease_id":"","renewable":false,"lease_duration":0,"data":{"K":"v"}}"#); // seen
        assert_eq!(created(&issued, true), Ok(Created::Unleased(secret())));
        for (status, body, expected) in [
            (
                405,
                r#"{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}"#,
                Unsuitable::TakesNoWrite.into(),
            ),
            (204, "", Unsuitable::NotJson.into()),
            (400, r#"{"errors":["the common_name field is required"]}"#, Misconfigured),
            (403, r#"{"errors":["permission denied"]}"#, Forbidden),
            (500, r#"{"errors":["the database is away"]}"#, Unavailable),
        ] {
            assert_eq!(created(&answer(status, body), true), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn a_renewal_says_for_how_long() {
        let good = answer(200, r#"{"lease_id":"x","lease_duration":2,"renewable":true,"data":null}"#); // seen
        assert_eq!(renewed(&good), Ok(Grant { ttl: Duration::from_secs(2), renewable: true }));
        for (status, body, expected) in [
            (400, r#"{"errors":["lease not found"]}"#, Misconfigured), // seen
            (403, r#"{"errors":["permission denied"]}"#, Forbidden),
            (200, r#"{"lease_id":"x","lease_duration":0,"renewable":true}"#, Unavailable),
            (200, r#"{"lease_id":"x","renewable":true}"#, Unavailable),
            (503, "", Unavailable),
        ] {
            assert_eq!(renewed(&answer(status, body)), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn a_revocation_is_done_or_it_is_not() {
        assert_eq!(revoked(&answer(204, "")), Ok(())); // seen: of a secret that has ended, too
        for (status, expected) in [(400, Misconfigured), (403, Forbidden), (500, Unavailable), (503, Unavailable)] {
            assert_eq!(revoked(&answer(status, r#"{"errors":["failed to revoke entry"]}"#)), Err(expected), "{status}");
        }
    }
}
