//! The repo and branch for which a caller requests secrets.

use super::branch::Branch;
use super::repo::Repo;
use jiff::Timestamp;
use std::net::IpAddr;

/// The verified repo and branch of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The repo.
    pub repo: Repo,
    /// The branch.
    pub branch: Branch,
}

/// A request before its verification. A repo or branch that the caller does not state must be attested.
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

impl UnverifiedRequest {
    /// The repo and the branch that the caller states.
    #[must_use]
    pub fn stated_parts(&self) -> (Option<&str>, Option<&str>) {
        (self.repo.as_ref().map(Repo::as_str), self.branch.as_ref().map(Branch::as_str))
    }
}
