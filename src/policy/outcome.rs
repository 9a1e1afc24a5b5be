//! What comes of a decision: a grant, a denial, or the part of the request that is missing.

use super::secret_rule::SecretRule;
use crate::model::binding::BindTo;
use crate::model::lease::{Encoding, LeaseMode};
use crate::model::policy_ref::PolicyRef;
use crate::model::request::Request;
use crate::model::secret_ref::SecretRef;
use crate::model::write::Write;
use std::sync::Arc;
use std::time::Duration;

/// What the policies say.
#[derive(Debug)]
pub enum Decision {
    /// Yes, to this.
    Granted(Grant),
    /// No.
    Denied(Denial),
    /// Cannot be told: this was left out, and nothing attests it.
    LeftOut(Part),
}

/// A part of a request that may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The repo.
    Repo,
    /// The branch.
    Branch,
}

impl Part {
    /// The word in the audit event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repo => "repo_missing",
            Self::Branch => "branch_missing",
        }
    }

    /// The sentence for whoever left it out.
    #[must_use]
    pub const fn missing(self) -> &'static str {
        match self {
            Self::Repo => "repo is missing, and no policy that names this caller attests it",
            Self::Branch => "branch is missing, and no policy that names this caller attests it",
        }
    }
}

/// What is granted.
#[derive(Debug)]
pub struct Grant {
    /// What it is for: as asked, or as attested where it was left out.
    pub request: Request,
    /// The allow policies that match, in bytewise order of name.
    pub policies: Vec<PolicyRef>,
    /// Their secrets in that order, those of one policy in the order listed: later ones replace keys of earlier ones.
    pub secrets: Vec<GrantedSecret>,
    /// The smallest life that one of them sets.
    pub ttl: Option<Duration>,
    /// The strictest binding that one of them sets.
    pub bind_to: Option<BindTo>,
    /// The ways that all of them allow; there may be none.
    pub delivery: Delivery,
}

/// A secret to be read, and what to take of it.
#[derive(Debug, Clone)]
pub struct GrantedSecret {
    /// Where it stands.
    pub secret: SecretRef,
    /// Which keys, under which names.
    pub rule: Arc<SecretRule>,
    /// Whether its absence is an error.
    pub required: bool,
    /// Who else gets the same, where the store makes it on request.
    pub lease: LeaseMode,
    /// With what the store is asked, where the engine's read is a write.
    pub write: Option<Write>,
    /// In what its values are kept.
    pub encoding: Encoding,
}

/// The ways in which a bundle may be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// By a one-time download URL.
    pub ticket: bool,
    /// In the answer itself.
    pub direct: bool,
}

/// Why not. For the audit event; the caller learns only that it was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// What these policies attest differs from what was asked, or from each other; or they attest nothing, and
    /// nothing else allows.
    AttestationFailed(Vec<PolicyRef>),
    /// These policies attest by run, and the cluster lacks the admission policy that is required for it.
    AdmissionPolicyMissing(Vec<PolicyRef>),
    /// These deny policies match.
    DeniedByPolicy(Vec<PolicyRef>),
    /// No allow policy matches.
    NoPolicyMatches,
    /// The patterns of these allow policies fit, but some path of each cannot be filled in, or leads out of the ceiling.
    NoPathFits(Vec<PolicyRef>),
}

impl Denial {
    /// The word in the audit event.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::AttestationFailed(_) => "attestation_failed",
            Self::AdmissionPolicyMissing(_) => "admission_policy_missing",
            Self::DeniedByPolicy(_) => "denied_by_policy",
            Self::NoPolicyMatches => "no_policy_matches",
            Self::NoPathFits(_) => "no_path_fits",
        }
    }

    /// The policies it is owed to.
    #[must_use]
    pub fn policies(&self) -> &[PolicyRef] {
        match self {
            Self::AttestationFailed(policies)
            | Self::AdmissionPolicyMissing(policies)
            | Self::DeniedByPolicy(policies)
            | Self::NoPathFits(policies) => policies,
            Self::NoPolicyMatches => &[],
        }
    }
}
