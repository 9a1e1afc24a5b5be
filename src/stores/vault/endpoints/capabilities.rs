//! `POST sys/capabilities-self`: what the broker's own token may do. `vaultrs` has no type for it.

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::de::IgnoredAny;

/// Asks for the capabilities of the token on paths.
pub(in crate::stores::vault) struct CapabilitiesSelf<'a> {
    /// API paths without `v1/`.
    pub(in crate::stores::vault) paths: &'a [String],
}

impl Endpoint for CapabilitiesSelf<'_> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        "sys/capabilities-self".to_owned()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let body = serde_json::json!({"paths": self.paths});
        serde_json::to_vec(&body).map(Some).map_err(|error| ClientError::DataParseError { source: error.into() })
    }
}
