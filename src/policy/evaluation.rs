//! The evaluation of one request: what is attested, its repo and branch, and whether each policy matches.
//! Decisions and explanations both come from here, so they cannot disagree.

use super::attestation::Attested;
use super::cel::Scene;
use super::matching::{MismatchKind, Policy};
use super::outcome::{Decision, Denial, Part};
use super::patterns::Patterns;
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};

/// A request with the attestations about it.
pub(super) struct Evaluation<'a> {
    pub(super) caller: &'a Caller,
    facts: &'a Facts,
    asked: &'a UnverifiedRequest,
    /// Ascending by place.
    attestations: &'a [Attestation<'a>],
    repo: Option<&'a Repo>,
    branch: Option<&'a Branch>,
}

/// The result of one policy's `attest` section for one caller.
#[derive(Debug)]
pub(super) struct Attestation<'p> {
    /// The policy's place in its set.
    pub(super) place: usize,
    policy: &'p Policy,
    repo: Attested<Repo>,
    branch: Attested<Branch>,
}

/// Why a policy does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) kind: MismatchKind,
    pub(super) detail: &'static str,
    /// A second clause for the detail.
    pub(super) cause: Option<&'static str>,
}

impl<'p> Attestation<'p> {
    pub(super) fn new(place: usize, policy: &'p Policy, scene: &Scene<'p>) -> Self {
        let repo = Attested::evaluate(policy.attest.repo.as_ref(), scene, |text| Repo::try_from(text).ok());
        let branch = Attested::evaluate(policy.attest.branch.as_ref(), scene, |text| Branch::try_from(text).ok());
        Self { place, policy, repo, branch }
    }
}

impl<'a> Evaluation<'a> {
    /// A repo or branch that the caller left out becomes the attested one.
    pub(super) fn new(
        caller: &'a Caller,
        facts: &'a Facts,
        asked: &'a UnverifiedRequest,
        attestations: &'a [Attestation<'a>],
    ) -> Self {
        let repo = asked.repo.as_ref().or_else(|| attestations.iter().find_map(|one| one.repo.value()));
        let branch = asked.branch.as_ref().or_else(|| attestations.iter().find_map(|one| one.branch.value()));
        Self { caller, facts, asked, attestations, repo, branch }
    }

    /// The repo and branch of the request.
    ///
    /// # Errors
    /// The decision that holds whatever the policies grant: an attestation contradicts the caller or another attestation, or a
    /// part was left out and nothing attests it.
    #[expect(clippy::result_large_err, reason = "the error is the decision, which the caller returns")]
    pub(super) fn request(&self) -> Result<Request, Decision> {
        let contradicts = |attestation: &&Attestation| {
            self.repo.is_some_and(|repo| attestation.repo.differs_from(repo))
                || self.branch.is_some_and(|branch| attestation.branch.differs_from(branch))
        };
        let contradicting = references(self.attestations.iter().filter(contradicts));
        if !contradicting.is_empty() {
            return Err(Decision::Denied(Denial::AttestationFailed(contradicting)));
        }
        match (self.repo, self.branch) {
            (Some(repo), Some(branch)) => Ok(Request { repo: repo.clone(), branch: branch.clone() }),
            _ if self.runs_are_withheld() => Err(Decision::Denied(self.attestation_denial(self.unattested()))),
            (None, _) => Err(Decision::LeftOut(Part::Repo)),
            (_, None) => Err(Decision::LeftOut(Part::Branch)),
        }
    }

    /// Whether facts about runs are missing because the cluster lacks the required admission policy.
    pub(super) const fn runs_are_withheld(&self) -> bool {
        self.facts.runs_withheld
    }

    /// The denial of a request for which the attestations of these policies yield nothing.
    pub(super) fn attestation_denial(&self, policies: Vec<PolicyRef>) -> Denial {
        if self.runs_are_withheld() {
            Denial::AdmissionPolicyMissing(policies)
        } else {
            Denial::AttestationFailed(policies)
        }
    }

    /// The policies with an attestation that yields nothing.
    pub(super) fn unattested(&self) -> Vec<PolicyRef> {
        references(self.attestations.iter().filter(|one| one.repo.is_absent() || one.branch.is_absent()))
    }

    /// Why a policy does not match, or none if it matches.
    pub(super) fn mismatch(&self, place: usize, policy: &Policy) -> Option<Mismatch> {
        if !policy.has_subject(self.caller) {
            return mismatch(MismatchKind::Subjects, self.subject_mismatch(policy));
        }
        let found = self.attestations.binary_search_by_key(&place, |one| one.place).ok();
        let attestation = found.and_then(|at| self.attestations.get(at));
        let denies = policy.denies();
        // Only the patterns of a deny policy are also tried on what is attested: an allow policy needs both to agree anyway.
        let tried = attestation.filter(|_| denies);
        let attested = tried.and_then(|one| one.repo.value()).map(Repo::as_str);
        if let Some(detail) = pattern_mismatch(&policy.repos, self.repo.map(Repo::as_str), attested) {
            return mismatch(MismatchKind::Repos, detail);
        }
        let attested = tried.and_then(|one| one.branch.value()).map(Branch::as_str);
        if let Some(detail) = pattern_mismatch(&policy.branches, self.branch.map(Branch::as_str), attested) {
            return mismatch(MismatchKind::Branches, detail);
        }
        attestation
            .filter(|_| !denies)
            .and_then(|one| self.contradiction(one))
            .or_else(|| self.unmet_condition(policy, denies))
    }

    fn subject_mismatch(&self, policy: &Policy) -> &'static str {
        match (policy.names(self.caller), &self.caller.workload) {
            (true, None) => "a subject names the ServiceAccount but not tokens that are bound to no pod (bound)",
            (true, Some(_)) => "a subject names the ServiceAccount but not tokens that are bound to a pod (bound)",
            (false, _) => "no subject matches the caller",
        }
    }

    fn contradiction(&self, attestation: &Attestation) -> Option<Mismatch> {
        let kind = MismatchKind::Attestation;
        match (&attestation.repo, &attestation.branch) {
            (Attested::Absent(cause), _) => {
                Some(Mismatch { kind, detail: "the repo is not attested", cause: Some(*cause) })
            }
            (_, Attested::Absent(cause)) => {
                Some(Mismatch { kind, detail: "the branch is not attested", cause: Some(*cause) })
            }
            (repo, _) if self.repo.is_some_and(|asked| repo.differs_from(asked)) => {
                mismatch(kind, "another repo is attested")
            }
            (_, branch) if self.branch.is_some_and(|asked| branch.differs_from(asked)) => {
                mismatch(kind, "another branch is attested")
            }
            _ => None,
        }
    }

    /// A condition that yields nothing counts as false in an allow policy, and as true in a deny policy.
    fn unmet_condition(&self, policy: &Policy, denies: bool) -> Option<Mismatch> {
        let kind = MismatchKind::Condition;
        match policy.condition.as_ref()?.evaluate_condition(&self.scene()) {
            Ok(true) => None,
            Ok(false) => mismatch(kind, "the condition is false"),
            Err(_) if denies => None,
            Err(failure) => {
                Some(Mismatch { kind, detail: "the condition yields nothing", cause: Some(failure.as_str()) })
            }
        }
    }

    fn scene(&self) -> Scene<'a> {
        Scene {
            caller: self.caller,
            facts: self.facts,
            asked: self.asked,
            repo: self.repo.map(Repo::as_str),
            branch: self.branch.map(Branch::as_str),
        }
    }
}

/// Why neither value matches.
fn pattern_mismatch(patterns: &Patterns, asked: Option<&str>, attested: Option<&str>) -> Option<&'static str> {
    if [asked, attested].into_iter().flatten().any(|value| patterns.matches(value)) {
        return None;
    }
    Some(if asked.is_some() { "no pattern matches" } else { "it is neither asked for nor attested" })
}

#[expect(clippy::unnecessary_wraps, reason = "its callers return an option")]
const fn mismatch(kind: MismatchKind, detail: &'static str) -> Option<Mismatch> {
    Some(Mismatch { kind, detail, cause: None })
}

fn references<'a>(attestations: impl Iterator<Item = &'a Attestation<'a>>) -> Vec<PolicyRef> {
    attestations.map(|attestation| attestation.policy.reference()).collect()
}
