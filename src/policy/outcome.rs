//! The result of a decision: a grant, a denial, or a missing part of the request.

use super::key_selection::KeySelection;
use crate::model::lease::{Encoding, LeaseMode};
use crate::model::policy_ref::PolicyRef;
use crate::model::request::Request;
use crate::model::secret_ref::SecretRef;
use crate::model::ticket_binding::TicketBinding;
use crate::model::ticket_limit::TicketLimit;
use crate::model::write_body::WriteBody;
use std::sync::Arc;
use std::time::Duration;

/// The result of a decision.
#[derive(Debug)]
pub enum Decision {
    /// The request is granted.
    Granted(Grant),
    /// The request is denied.
    Denied(Denial),
    /// No decision: the request omits this part, and no policy attests it.
    PartMissing(RequestPart),
}

closed_enum! {
    /// A part of a request that may be omitted if a policy attests it. The text is the reason code of a missing part.
    pub enum RequestPart {
        /// The repo.
        Repo => "repo_missing",
        /// The branch.
        Branch => "branch_missing",
    }
}

impl RequestPart {
    /// The message for a caller that omitted this part.
    #[must_use]
    pub const fn missing_message(self) -> &'static str {
        match self {
            Self::Repo => "repo is missing, and no policy that names this caller attests it",
            Self::Branch => "branch is missing, and no policy that names this caller attests it",
        }
    }
}

/// The result of a granted request.
#[derive(Debug)]
pub struct Grant {
    /// The request, with attested values for omitted parts.
    pub request: Request,
    /// The matching allow policies, in bytewise order of name.
    pub policies: Vec<PolicyRef>,
    /// The secrets of these policies, in the order of the policies and, within a policy, in the order listed. Later secrets
    /// replace keys of earlier ones.
    pub secrets: Vec<GrantedSecret>,
    /// The shortest ticket lifetime that one of these policies sets.
    pub ttl: Option<Duration>,
    /// The strictest ticket binding that one of these policies sets.
    pub binding: Option<TicketBinding>,
    /// The deliveries that all of these policies allow; possibly none.
    pub delivery: AllowedDeliveries,
    /// The limits of the policies that set `ticket.maxPerCaller`, in the order of the policies.
    pub limits: Vec<TicketLimit>,
}

/// A secret to read, and how its keys are selected and named.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantedSecret {
    /// Its store and path.
    pub secret: SecretRef,
    /// Which keys are selected, and their final names.
    pub key_selection: Arc<KeySelection>,
    /// Whether a missing secret is an error.
    pub required: bool,
    /// For dynamic secrets: which callers share one credential.
    pub lease: LeaseMode,
    /// The request body, if the engine needs a write to return the secret.
    pub write: Option<WriteBody>,
    /// The encoding of its values in the store.
    pub encoding: Encoding,
}

/// The allowed deliveries of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedDeliveries {
    /// By a one-time download URL.
    pub ticket: bool,
    /// In the response itself.
    pub direct: bool,
}

/// Why a request is denied. The reason goes into the audit event; the response does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The values that these policies attest differ from the request or from each other. Or they attest no value, and no
    /// other policy allows the request.
    AttestationFailed(Vec<PolicyRef>),
    /// The decision needs facts about runs, but the cluster lacks the admission policy that protects these facts. The attestations
    /// of these policies (possibly none) yield no value.
    AdmissionPolicyMissing(Vec<PolicyRef>),
    /// These deny policies match.
    DeniedByPolicy(Vec<PolicyRef>),
    /// No allow policy matches.
    NoPolicyMatches,
    /// These allow policies match, but each has a path or write body that cannot be expanded, or a path outside the ceiling.
    NoPathFits(Vec<PolicyRef>),
}

impl Denial {
    /// The value in the audit event.
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

    /// The policies that caused the denial.
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
