//! The repo and branch that a caller requests secrets for.

use super::branch::Branch;
use super::repo::Repo;
use jiff::Timestamp;
use std::net::IpAddr;

/// The repo and branch that are being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The repo.
    pub repo: Repo,
    /// The branch.
    pub branch: Branch,
}

/// An unverified request. A repo or branch that the caller leaves out must be attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedRequest {
    /// The repo that the caller states.
    pub repo: Option<Repo>,
    /// The branch that the caller states.
    pub branch: Option<Branch>,
    /// The client address.
    pub source_ip: IpAddr,
    /// The time of the request.
    pub time: Timestamp,
}
