//! One request before the policies: what is attested, which repo and branch it is about, and what each policy says.
//! Decisions and explanations both come from here, so they cannot disagree.

use super::attestation::{Attested, Witness};
use super::cel::Scene;
use super::decide::{Decision, Denial, Part};
use super::matching::{Effect, Mismatch, Policy};
use super::patterns::Patterns;
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::request::{Asked, Request};

/// A request, and the witnesses that have been heard about it.
pub(super) struct Hearing<'a> {
    pub(super) caller: &'a Caller,
    facts: &'a Facts,
    asked: &'a Asked,
    /// In the order of their places.
    witnesses: &'a [Witness<'a>],
    repo: Option<&'a Repo>,
    branch: Option<&'a Branch>,
}

/// Why a policy does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) mismatch: Mismatch,
    pub(super) detail: &'static str,
    /// Further words.
    pub(super) cause: Option<&'static str>,
}

impl<'a> Hearing<'a> {
    /// What was left out becomes what is attested.
    pub(super) fn new(caller: &'a Caller, facts: &'a Facts, asked: &'a Asked, witnesses: &'a [Witness<'a>]) -> Self {
        let repo = asked.repo.as_ref().or_else(|| witnesses.iter().find_map(|witness| witness.repo.value()));
        let branch = asked.branch.as_ref().or_else(|| witnesses.iter().find_map(|witness| witness.branch.value()));
        Self { caller, facts, asked, witnesses, repo, branch }
    }

    /// What the request is about, unless it is refused whatever the policies say: the cluster's word against the
    /// caller's, or against itself, or nobody's.
    pub(super) fn request(&self) -> Result<Request, Decision> {
        let contradicts = |witness: &&Witness| {
            self.repo.is_some_and(|repo| witness.repo.differs_from(repo))
                || self.branch.is_some_and(|branch| witness.branch.differs_from(branch))
        };
        let contradicting = references(self.witnesses.iter().filter(contradicts));
        if !contradicting.is_empty() {
            return Err(Decision::Denied(Denial::AttestationFailed(contradicting)));
        }
        match (self.repo, self.branch) {
            (Some(repo), Some(branch)) => Ok(Request { repo: repo.clone(), branch: branch.clone() }),
            (None, _) => Err(Decision::LeftOut(Part::Repo)),
            (_, None) => Err(Decision::LeftOut(Part::Branch)),
        }
    }

    /// The policies that attest something and get nothing.
    pub(super) fn without_an_answer(&self) -> Vec<PolicyRef> {
        references(self.witnesses.iter().filter(|witness| witness.repo.is_absent() || witness.branch.is_absent()))
    }

    /// Why a policy does not match; none where it does.
    pub(super) fn objection(&self, place: usize, policy: &'a Policy) -> Option<Objection> {
        if !policy.speaks_of(self.caller) {
            return objection(Mismatch::Subjects, "no subject matches the caller");
        }
        let heard = self.witnesses.binary_search_by_key(&place, |witness| witness.place).ok();
        let witness = heard.and_then(|at| self.witnesses.get(at));
        let denies = matches!(policy.effect, Effect::Deny);
        // Only a deny policy goes by what is attested as well: an allow policy needs both to agree anyway.
        let heard = witness.filter(|_| denies);
        let attested = heard.and_then(|witness| witness.repo.value()).map(Repo::as_str);
        if let Some(detail) = misfit(&policy.repos, self.repo.map(Repo::as_str), attested) {
            return objection(Mismatch::Repos, detail);
        }
        let attested = heard.and_then(|witness| witness.branch.value()).map(Branch::as_str);
        if let Some(detail) = misfit(&policy.branches, self.branch.map(Branch::as_str), attested) {
            return objection(Mismatch::Branches, detail);
        }
        if let Some(witness) = witness.filter(|_| !denies)
            && let Some(objection) = self.contradiction(witness)
        {
            return Some(objection);
        }
        self.unmet_condition(policy, denies)
    }

    fn contradiction(&self, witness: &Witness) -> Option<Objection> {
        let mismatch = Mismatch::Attestation;
        let failed = |detail, cause| Some(Objection { mismatch, detail, cause });
        match (&witness.repo, &witness.branch) {
            (Attested::Absent(cause), _) => failed("the repo is not attested", Some(*cause)),
            (_, Attested::Absent(cause)) => failed("the branch is not attested", Some(*cause)),
            (repo, _) if self.repo.is_some_and(|asked| repo.differs_from(asked)) => {
                failed("another repo is attested", None)
            }
            (_, branch) if self.branch.is_some_and(|asked| branch.differs_from(asked)) => {
                failed("another branch is attested", None)
            }
            _ => None,
        }
    }

    /// A condition that cannot be told is not met by an allow policy, and met by a deny policy.
    fn unmet_condition(&self, policy: &'a Policy, denies: bool) -> Option<Objection> {
        let mismatch = Mismatch::Condition;
        match policy.condition.as_ref()?.evaluate_condition(&self.scene()) {
            Ok(true) => None,
            Ok(false) => objection(mismatch, "the condition is false"),
            Err(_) if denies => None,
            Err(failure) => {
                Some(Objection { mismatch, detail: "the condition yields nothing", cause: Some(failure.as_str()) })
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

/// Why neither value fits.
fn misfit(patterns: &Patterns, asked: Option<&str>, attested: Option<&str>) -> Option<&'static str> {
    if [asked, attested].into_iter().flatten().any(|value| patterns.matches(value)) {
        return None;
    }
    Some(if asked.is_some() { "no pattern matches" } else { "it is neither asked for nor attested" })
}

#[expect(clippy::unnecessary_wraps, reason = "an objection is returned where there may be none")]
const fn objection(mismatch: Mismatch, detail: &'static str) -> Option<Objection> {
    Some(Objection { mismatch, detail, cause: None })
}

fn references<'a>(witnesses: impl Iterator<Item = &'a Witness<'a>>) -> Vec<PolicyRef> {
    witnesses.map(|witness| witness.policy.reference()).collect()
}
