//! The text exposition of the registry.
//!
//! The format is the same for every `Accept` header: Prometheus reads it in any case. The library supports neither
//! `OpenMetrics` nor exemplars. To get from a metric to a trace, use the trace ids in the audit log.

use super::families::Metrics;
use prometheus::core::Collector as _;
use prometheus::{Encoder as _, TextEncoder};

impl Metrics {
    /// The text exposition format.
    ///
    /// # Errors
    /// A family cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        // The library leaves out a family without series, as these are while there is no policy.
        let by_policy = [self.tickets_issued.collect(), self.policy_shadow.collect()];
        for family in by_policy.iter().flatten().filter(|family| family.get_metric().is_empty()) {
            let (name, help) = (family.name(), family.help());
            text.extend(format!("# HELP {name} {help}\n# TYPE {name} counter\n").bytes());
        }
        Ok(text)
    }
}
