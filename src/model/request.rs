//! What a caller asks secrets for.

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

/// What the caller says is being built, and what we know of the request. What is left out has to be attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The repo, as the caller says.
    pub repo: Option<Repo>,
    /// The branch, as the caller says.
    pub branch: Option<Branch>,
    /// The address the request comes from.
    pub source_ip: IpAddr,
    /// When it came.
    pub time: Timestamp,
}
