//! Shadow mode: policies with `mode: audit` are evaluated in addition to the decision, and their verdicts are counted. A failure
//! does not affect the decision.

use super::issue_request::DeliveryMode;
use super::pipeline::Broker;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::UnverifiedRequest;
use crate::model::shadow::ShadowVerdict;
use crate::policy::{PolicySet, ShadowPolicies};
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for facts that only policies in shadow mode need.
const MAX_FACTS_WAIT: Duration = Duration::from_secs(1);

impl Broker {
    /// What the policies in shadow mode would change about a decision that is based on these facts. Empty if they need further
    /// facts that are not available in time.
    pub(super) async fn shadow_verdicts(
        &self,
        policies: &PolicySet,
        caller: &Caller,
        (facts, needs): (&Facts, Needs),
        unverified: &UnverifiedRequest,
        mode: DeliveryMode,
    ) -> Vec<ShadowVerdict> {
        let Some(shadows) = policies.shadow_policies(caller, unverified) else { return Vec::new() };
        let Some(facts) = self.facts_of_shadows(caller, facts, needs, &shadows).await else { return Vec::new() };
        let verdicts = shadows.evaluate(caller, &facts, unverified, &|delivery| mode.is_allowed(delivery, caller));
        for verdict in verdicts.iter().filter(|verdict| self.may_count_policy(&verdict.policy)) {
            self.stages.metrics.count_shadow_result(&verdict.policy, verdict.outcome.as_str());
        }
        verdicts
    }

    /// The known facts together with those that the policies in shadow mode need. `None` if the latter are not available in time.
    pub(super) async fn facts_of_shadows(
        &self,
        caller: &Caller,
        known: &Facts,
        needs: Needs,
        shadows: &ShadowPolicies<'_>,
    ) -> Option<Facts> {
        let all = needs.union(shadows.needs());
        if all == needs {
            return Some(known.clone());
        }
        timeout(MAX_FACTS_WAIT, self.facts(caller, all)).await.ok()?.ok()
    }
}
