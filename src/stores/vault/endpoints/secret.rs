//! A secret of any dynamic engine: `GET` or `POST` of its path.
//!
//! `vaultrs` has types for some engines. Its types for writes, such as `pki::requests::GenerateCertificateRequest`, send
//! only the fields that they know; a policy defines the body, and all of it is sent unchanged.

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::de::IgnoredAny;

/// Creates a secret, by a read or by a write.
pub(in crate::stores::vault) struct CreateSecret<'a> {
    /// Not percent-encoded.
    pub(in crate::stores::vault) path: &'a str,
    /// The JSON text of the body of a write; `None` for a read.
    pub(in crate::stores::vault) json: Option<&'a str>,
}

impl Endpoint for CreateSecret<'_> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.to_owned()
    }

    fn method(&self) -> RequestMethod {
        if self.json.is_some() { RequestMethod::POST } else { RequestMethod::GET }
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.json.map(|json| json.as_bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use vaultrs::api::pki::requests::GenerateCertificateRequest;

    /// The reason not to use `vaultrs` for `pki/issue`: it would drop fields that the policy names.
    #[test]
    fn a_write_keeps_every_field_and_digit_of_the_policy() {
        let json = r#"{"common_name":"a.example","not_after":"2027-01-01T00:00:00Z","serial":12345678901234567890123,"x":1.50}"#;
        let body = CreateSecret { path: "pki/issue/web", json: Some(json) }.body().unwrap().unwrap();
        assert_eq!(body, json.as_bytes());

        let mut theirs = GenerateCertificateRequest { mount: "pki".into(), role: "web".into(), ..Default::default() };
        theirs.common_name = Some("a.example".into());
        let sent: Value = serde_json::from_slice(&theirs.body().unwrap().unwrap()).unwrap();
        assert_eq!(sent, json!({"common_name": "a.example"}), "it has no field for the rest");
    }
}
