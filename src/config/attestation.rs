//! `attestation`: requirements for policies that attest by run.

use super::check::Check;
use serde::Deserialize;

/// The checked section.
#[derive(Debug, Clone, Copy)]
pub struct Attestation {
    /// The effect of a missing admission policy.
    pub admission_policy: AdmissionPolicy,
}

/// The effect of a cluster without the chart's admission policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionPolicy {
    /// A warning in the log.
    Warn,
    /// `TaskRun`s and `PipelineRun`s of that cluster attest nothing.
    Require,
    /// The admission policy is not looked for.
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
