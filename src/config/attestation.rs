//! `attestation`: requirements for policies that use attested facts of Tekton runs.

use super::fault_collector::FaultCollector;
use serde::Deserialize;

/// The validated section.
#[derive(Debug, Clone, Copy)]
pub struct Attestation {
    /// What happens if a cluster lacks the admission policy.
    pub admission_policy: AdmissionPolicy,
}

/// What happens if a cluster lacks the admission policy of the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionPolicy {
    /// A warning in the log.
    Warn,
    /// `TaskRun`s and `PipelineRun`s of that cluster are not used as facts.
    Require,
    /// The admission policy is not looked up.
    Off,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAttestation {
    admission_policy: Option<String>,
}

impl RawAttestation {
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Attestation> {
        let words =
            [("warn", AdmissionPolicy::Warn), ("require", AdmissionPolicy::Require), ("off", AdmissionPolicy::Off)];
        let admission_policy = faults.require_one_of("/attestation/admissionPolicy", self.admission_policy, &words)?;
        Some(Attestation { admission_policy })
    }
}
