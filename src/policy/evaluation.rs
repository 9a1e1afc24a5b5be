//! The evaluation of one request: its repo and branch after attestation, and whether a policy matches. Decisions and
//! explanations both use it, so they cannot disagree.

use super::attestation::AttestedValue;
use super::cel::Inputs;
use super::compiled_policy::{MismatchKind, Policy};
use super::outcome::{Decision, Denial, RequestPart};
use super::patterns::Patterns;
use crate::model::branch::Branch;
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};

/// A request and its attestations.
pub(super) struct Evaluation<'a> {
    /// The inputs with the repo and branch that the caller states.
    pub(super) stated_inputs: Inputs<'a>,
    /// Ascending by position.
    attestations: &'a [Attestation<'a>],
    /// The stated repo or else the first attested one; the same for `branch`.
    repo: Option<&'a Repo>,
    branch: Option<&'a Branch>,
}

/// The result of one policy's `attest` section for one caller.
#[derive(Debug)]
pub(super) struct Attestation<'p> {
    /// The position of the policy in its set.
    pub(super) position: usize,
    policy: &'p Policy,
    repo: AttestedValue<Repo>,
    branch: AttestedValue<Branch>,
}

/// Why a policy does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) kind: MismatchKind,
    pub(super) detail: &'static str,
    /// The cause, which explanations append to the detail after a colon.
    pub(super) cause: Option<&'static str>,
}

impl Mismatch {
    const fn new(kind: MismatchKind, detail: &'static str) -> Self {
        Self { kind, detail, cause: None }
    }
}

impl<'p> Attestation<'p> {
    pub(super) fn new(position: usize, policy: &'p Policy, inputs: &Inputs<'p>) -> Self {
        let repo = AttestedValue::evaluate(policy.attest.repo.as_ref(), inputs, |text| Repo::try_from(text).ok());
        let branch = AttestedValue::evaluate(policy.attest.branch.as_ref(), inputs, |text| Branch::try_from(text).ok());
        Self { position, policy, repo, branch }
    }
}

impl<'a> Evaluation<'a> {
    /// If the request omits repo or branch, the first attested value is used.
    pub(super) fn new(stated_inputs: Inputs<'a>, attestations: &'a [Attestation<'a>]) -> Self {
        let UnverifiedRequest { repo, branch, .. } = stated_inputs.unverified_request;
        let attested_repo = || attestations.iter().find_map(|attestation| attestation.repo.value());
        let attested_branch = || attestations.iter().find_map(|attestation| attestation.branch.value());
        let (repo, branch) = (repo.as_ref().or_else(attested_repo), branch.as_ref().or_else(attested_branch));
        Self { stated_inputs, attestations, repo, branch }
    }

    /// The request with attested values for omitted parts.
    ///
    /// # Errors
    /// The decision, if it does not depend on which policies match: an attestation contradicts the request or another
    /// attestation, or a part is omitted and not attested.
    #[expect(clippy::result_large_err, reason = "the error is the decision, which the caller returns")]
    pub(super) fn verify_request(&self) -> Result<Request, Decision> {
        let contradicts = |attestation: &&Attestation| {
            self.repo.is_some_and(|repo| attestation.repo.differs_from(repo))
                || self.branch.is_some_and(|branch| attestation.branch.differs_from(branch))
        };
        let contradicting = policy_refs(self.attestations.iter().filter(contradicts));
        if !contradicting.is_empty() {
            return Err(Decision::Denied(Denial::AttestationFailed(contradicting)));
        }
        match (self.repo, self.branch) {
            (Some(repo), Some(branch)) => Ok(Request { repo: repo.clone(), branch: branch.clone() }),
            _ if self.runs_are_withheld() => {
                Err(Decision::Denied(self.attestation_denial(self.policies_without_attested_value())))
            }
            (None, _) => Err(Decision::PartMissing(RequestPart::Repo)),
            (_, None) => Err(Decision::PartMissing(RequestPart::Branch)),
        }
    }

    /// Whether facts about runs are missing because the cluster lacks the required admission policy.
    pub(super) const fn runs_are_withheld(&self) -> bool {
        self.stated_inputs.facts.runs_withheld
    }

    /// The denial of a request for which the attestations of these policies yield no value.
    pub(super) fn attestation_denial(&self, policies: Vec<PolicyRef>) -> Denial {
        if self.runs_are_withheld() {
            Denial::AdmissionPolicyMissing(policies)
        } else {
            Denial::AttestationFailed(policies)
        }
    }

    /// The policies with an attestation that yields no value.
    pub(super) fn policies_without_attested_value(&self) -> Vec<PolicyRef> {
        policy_refs(
            self.attestations
                .iter()
                .filter(|attestation| attestation.repo.is_absent() || attestation.branch.is_absent()),
        )
    }

    /// Why the policy at this position does not match; `None` if it matches.
    pub(super) fn mismatch(&self, position: usize, policy: &Policy) -> Option<Mismatch> {
        if !policy.has_subject(self.stated_inputs.caller) {
            return Some(Mismatch::new(MismatchKind::Subjects, self.subject_mismatch(policy)));
        }
        let index = self.attestations.binary_search_by_key(&position, |attestation| attestation.position).ok();
        let attestation = index.and_then(|index| self.attestations.get(index));
        let denies = policy.denies();
        // The patterns of a deny policy are also matched against the attested values. In an allow policy the attested values must
        // equal those of the request anyway.
        let matched_attestation = attestation.filter(|_| denies);
        let attested = matched_attestation.and_then(|attestation| attestation.repo.value()).map(Repo::as_str);
        if let Some(detail) = pattern_mismatch(&policy.repos, self.repo.map(Repo::as_str), attested) {
            return Some(Mismatch::new(MismatchKind::Repos, detail));
        }
        let attested = matched_attestation.and_then(|attestation| attestation.branch.value()).map(Branch::as_str);
        if let Some(detail) = pattern_mismatch(&policy.branches, self.branch.map(Branch::as_str), attested) {
            return Some(Mismatch::new(MismatchKind::Branches, detail));
        }
        attestation
            .filter(|_| !denies)
            .and_then(|attestation| self.attestation_mismatch(attestation))
            .or_else(|| self.condition_mismatch(policy, denies))
    }

    fn subject_mismatch(&self, policy: &Policy) -> &'static str {
        match (policy.matches_service_account(self.stated_inputs.caller), &self.stated_inputs.caller.workload) {
            (true, None) => "a subject names the ServiceAccount but not tokens that are bound to no pod (bound)",
            (true, Some(_)) => "a subject names the ServiceAccount but not tokens that are bound to a pod (bound)",
            (false, _) => "no subject matches the caller",
        }
    }

    fn attestation_mismatch(&self, attestation: &Attestation) -> Option<Mismatch> {
        let kind = MismatchKind::Attestation;
        match (&attestation.repo, &attestation.branch) {
            (AttestedValue::Absent(cause), _) => {
                Some(Mismatch { kind, detail: "the repo is not attested", cause: Some(*cause) })
            }
            (_, AttestedValue::Absent(cause)) => {
                Some(Mismatch { kind, detail: "the branch is not attested", cause: Some(*cause) })
            }
            (repo, _) if self.repo.is_some_and(|requested| repo.differs_from(requested)) => {
                Some(Mismatch::new(kind, "another repo is attested"))
            }
            (_, branch) if self.branch.is_some_and(|requested| branch.differs_from(requested)) => {
                Some(Mismatch::new(kind, "another branch is attested"))
            }
            _ => None,
        }
    }

    /// A condition whose evaluation fails counts as false in an allow policy, and as true in a deny policy.
    fn condition_mismatch(&self, policy: &Policy, denies: bool) -> Option<Mismatch> {
        let kind = MismatchKind::Condition;
        match policy.condition.as_ref()?.evaluate_condition(&self.inputs()) {
            Ok(true) => None,
            Ok(false) => Some(Mismatch::new(kind, "the condition is false")),
            Err(_) if denies => None,
            Err(error) => Some(Mismatch { kind, detail: "the condition yields nothing", cause: Some(error.as_str()) }),
        }
    }

    fn inputs(&self) -> Inputs<'a> {
        Inputs { repo: self.repo.map(Repo::as_str), branch: self.branch.map(Branch::as_str), ..self.stated_inputs }
    }
}

/// Why the patterns match neither value; `None` if they match one.
fn pattern_mismatch(patterns: &Patterns, requested: Option<&str>, attested: Option<&str>) -> Option<&'static str> {
    if [requested, attested].into_iter().flatten().any(|value| patterns.matches(value)) {
        return None;
    }
    Some(if requested.is_some() { "no pattern matches" } else { "it is neither asked for nor attested" })
}

fn policy_refs<'a>(attestations: impl Iterator<Item = &'a Attestation<'a>>) -> Vec<PolicyRef> {
    attestations.map(|attestation| attestation.policy.policy_ref()).collect()
}
