//! Shadow mode: policies with `mode: audit` are evaluated beside the decision and counted. Their failures refuse nothing.

use super::issue_request::DeliveryMode;
use super::pipeline::Broker;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::UnverifiedRequest;
use crate::model::shadow::ShadowVerdict;
use crate::policy::{PolicySet, ShadowPolicies};
use std::time::Duration;
use tokio::time::timeout;

/// The longest wait for facts that only policies in shadow mode need.
const MAX_FACTS_WAIT: Duration = Duration::from_secs(1);

impl Broker {
    /// What the policies in shadow mode would change about a decision that was made with these facts. If a fact that they need
    /// cannot be had, they are not evaluated.
    pub(super) async fn shadow_verdicts(
        &self,
        policies: &PolicySet,
        caller: &Caller,
        (facts, needs): (&Facts, Needs),
        asked: &UnverifiedRequest,
        mode: DeliveryMode,
    ) -> Vec<ShadowVerdict> {
        let Some(shadows) = policies.shadow_policies(caller, asked) else { return Vec::new() };
        let Some(facts) = self.facts_of_shadows(caller, facts, needs, &shadows).await else { return Vec::new() };
        let verdicts = shadows.evaluate(caller, &facts, asked, &|delivery| mode.hands_over(delivery, caller));
        for verdict in verdicts.iter().filter(|verdict| self.has_series(&verdict.policy)) {
            self.stages.metrics.count_shadow_result(&verdict.policy, verdict.outcome.as_str());
        }
        verdicts
    }

    /// The known facts with those that the policies in shadow mode need. None if they cannot be had soon.
    pub(super) async fn facts_of_shadows(
        &self,
        caller: &Caller,
        known: &Facts,
        needs: Needs,
        shadows: &ShadowPolicies<'_>,
    ) -> Option<Facts> {
        let all = needs.and(shadows.needs());
        if all == needs {
            return Some(known.clone());
        }
        timeout(MAX_FACTS_WAIT, self.facts(caller, all)).await.ok()?.ok()
    }
}
