//! `attestation`: requirements for policies that use attested facts of Tekton runs.

use super::fault_collector::FaultCollector;
use serde::Deserialize;

/// The validated section.
#[derive(Debug, Clone, Copy)]
pub struct Attestation {
    /// What happens if a cluster lacks the admission policy.
    pub admission_policy: AdmissionPolicy,
}

closed_enum! {
    /// What happens if a cluster lacks the admission policy of the chart.
    pub enum AdmissionPolicy {
        /// A warning in the log.
        Warn => "warn",
        /// `TaskRun`s and `PipelineRun`s of that cluster are not used as facts.
        Require => "require",
        /// The admission policy is not looked up.
        Off => "off",
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAttestation {
    admission_policy: Option<String>,
}

impl RawAttestation {
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Attestation> {
        const POINTER: &str = "/attestation/admissionPolicy";
        let choices = AdmissionPolicy::ALL;
        let admission_policy =
            faults.require_one_of(POINTER, self.admission_policy, choices, AdmissionPolicy::as_str)?;
        Some(Attestation { admission_policy })
    }
}
