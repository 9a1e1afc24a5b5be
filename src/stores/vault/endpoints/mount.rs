//! `GET sys/internal/ui/mounts/<path>`: the mount of a path. `vaultrs` has no type for it.

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::de::IgnoredAny;

/// Reads the mount of a path.
pub(in crate::stores::vault) struct ReadMount<'a> {
    /// Not percent-encoded.
    pub(in crate::stores::vault) path: &'a str,
}

impl Endpoint for ReadMount<'_> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("sys/internal/ui/mounts/{}", self.path)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}
