//! The registry as text.
//!
//! One format for every `Accept`: Prometheus reads it whatever it asked for. The library knows neither `OpenMetrics` nor
//! exemplars; from a number to a request the way leads through the audit log, whose events have the trace id.

use super::families::Metrics;
use prometheus::core::Collector as _;
use prometheus::{Encoder as _, TextEncoder};

impl Metrics {
    /// The text exposition format.
    ///
    /// # Errors
    /// When a family cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        // The library leaves out a family without series, as this one is while there is no policy.
        for family in self.tickets_issued.collect().iter().filter(|family| family.get_metric().is_empty()) {
            let (name, help) = (family.name(), family.help());
            text.extend(format!("# HELP {name} {help}\n# TYPE {name} counter\n").bytes());
        }
        Ok(text)
    }
}
