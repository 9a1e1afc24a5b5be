//! What a caller asks secrets for.

use super::branch::Branch;
use super::repo::Repo;

/// The repo and branch that are being built, as the caller says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The repo.
    pub repo: Repo,
    /// The branch.
    pub branch: Branch,
}
