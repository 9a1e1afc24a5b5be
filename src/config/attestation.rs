//! `attestation`: requirements for policies that use attested facts of Tekton runs.

use super::fault_collector::FaultCollector;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

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
    #[serde(deserialize_with = "text_or_off")]
    admission_policy: Option<String>,
}

/// Decodes a text or null. An unquoted `off` is `false` in YAML 1.1, which Helm and this program read.
fn text_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct TextOrOff;

    impl Visitor<'_> for TextOrOff {
        type Value = Option<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("a string")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok(Some(if value { "on" } else { AdmissionPolicy::Off.as_str() }.to_owned()))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(TextOrOff)
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
