//! A request of an administrator to revoke leases.

use crate::model::caller::Caller;
use crate::model::request_id::RequestId;
use std::sync::Arc;

/// A request of an administrator to revoke leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRequest {
    /// The administrator.
    pub by: Arc<Caller>,
    /// The ID of the administrator's request.
    pub request_id: RequestId,
}
