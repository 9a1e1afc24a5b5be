//! The Prometheus text exposition of the registry.
//!
//! `Accept` is ignored, because Prometheus accepts the text format in any case. The library supports neither `OpenMetrics` nor
//! exemplars; the audit log has the trace ids of requests.

use super::families::Metrics;
use prometheus::core::Collector as _;
use prometheus::{Encoder as _, TextEncoder};

impl Metrics {
    /// Encodes all families in the text exposition format.
    ///
    /// # Errors
    /// A family cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        // The library leaves out families without series. These two families have none while there is no policy.
        let by_policy = [self.tickets_issued.collect(), self.policy_shadow.collect()];
        for family in by_policy.iter().flatten().filter(|family| family.get_metric().is_empty()) {
            let (name, help) = (family.name(), family.help());
            text.extend(format!("# HELP {name} {help}\n# TYPE {name} counter\n").bytes());
        }
        Ok(text)
    }
}
