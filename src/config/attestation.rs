//! `attestation`: what policies that attest by run rest on.

use super::check::Check;
use serde::Deserialize;

/// The checked section.
#[derive(Debug, Clone, Copy)]
pub struct Attestation {
    /// What follows where a cluster lacks the admission policy of the chart.
    pub admission_policy: AdmissionPolicy,
}

/// What follows where a cluster lacks the admission policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionPolicy {
    /// A warning in the log.
    Warn,
    /// `TaskRun`s and `PipelineRun`s attest nothing there.
    Require,
    /// Nothing: it is not looked for.
    Off,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAttestation {
    admission_policy: Option<String>,
}

impl RawAttestation {
    pub(super) fn check(self, check: &mut Check) -> Option<Attestation> {
        let words =
            [("warn", AdmissionPolicy::Warn), ("require", AdmissionPolicy::Require), ("off", AdmissionPolicy::Off)];
        let admission_policy = check.word("/attestation/admissionPolicy", self.admission_policy, &words)?;
        Some(Attestation { admission_policy })
    }
}
