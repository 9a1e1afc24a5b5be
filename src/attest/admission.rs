//! Whether a cluster has the admission policy that protects the owners of pods and runs, and the effect if it has
//! not.

use super::error::AttestError;
use crate::cluster::{AdmissionPolicyFound, AdmissionPolicyState as State, CallFailure, Cluster, ClusterError};
use crate::config::attestation::AdmissionPolicy;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// How often policy and binding are read.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// How often while nothing is known yet.
const FIRST_POLL_INTERVAL: Duration = Duration::from_secs(1);

const UNKNOWN: u8 = 0;
const PRESENT: u8 = 1;
const MISSING: u8 = 2;

/// The state of one cluster's admission policy.
pub struct Admission {
    mode: AdmissionPolicy,
    known: AtomicU8,
    /// The last logged result, so that only changes are logged.
    told: Mutex<Option<Result<AdmissionPolicyFound, CallFailure>>>,
}

impl Admission {
    pub const fn new(mode: AdmissionPolicy) -> Self {
        Self { mode, known: AtomicU8::new(UNKNOWN), told: Mutex::new(None) }
    }

    /// Whether the policy is not checked.
    pub fn is_disabled(&self) -> bool {
        self.mode == AdmissionPolicy::Off
    }

    /// Whether runs attest in this cluster.
    ///
    /// # Errors
    /// The policy is required and its state is not known yet.
    pub fn runs_may_attest(&self) -> Result<bool, AttestError> {
        match (self.mode, self.known.load(Ordering::Relaxed)) {
            (AdmissionPolicy::Warn | AdmissionPolicy::Off, _) | (AdmissionPolicy::Require, PRESENT) => Ok(true),
            (AdmissionPolicy::Require, UNKNOWN) => Err(AttestError::Unavailable),
            (AdmissionPolicy::Require, _) => Ok(false),
        }
    }

    /// Reads the policy periodically, as long as this future is polled.
    pub async fn follow(&self, cluster: &Cluster, name: &str) {
        if self.is_disabled() {
            return;
        }
        loop {
            let _ = self.refresh(cluster, name).await;
            let is_unknown = self.known.load(Ordering::Relaxed) == UNKNOWN;
            sleep(if is_unknown { FIRST_POLL_INTERVAL } else { POLL_INTERVAL }).await;
        }
    }

    /// Reads it once. If the API server gives no usable answer, the last result stays. If the broker has no right to read
    /// the policy, it counts as missing.
    pub async fn refresh(&self, cluster: &Cluster, name: &str) -> Result<AdmissionPolicyFound, ClusterError> {
        let found = cluster.admission_policy().await;
        match &found {
            Ok(found) => {
                let is_there = matches!(found.state, State::Present | State::Outdated);
                self.known.store(if is_there { PRESENT } else { MISSING }, Ordering::Relaxed);
                cluster.set_admission_policy(name, found.state);
            }
            Err(ClusterError::Unavailable(CallFailure::Credentials)) => {
                self.known.store(MISSING, Ordering::Relaxed);
                cluster.set_admission_policy(name, State::Absent);
            }
            Err(ClusterError::Unavailable(_)) => {}
        }
        self.log_change(name, &found);
        found
    }

    fn log_change(&self, authenticator: &str, found: &Result<AdmissionPolicyFound, ClusterError>) {
        let now = found.clone().map_err(|ClusterError::Unavailable(trouble)| trouble);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() == Some(&now) {
            return;
        }
        let required = self.mode == AdmissionPolicy::Require;
        match &now {
            Ok(AdmissionPolicyFound { state: State::Present, .. }) => {
                tracing::info!(authenticator, "the admission policy for owners of Tekton runs is in force");
            }
            Ok(AdmissionPolicyFound { state: State::Outdated, version }) => tracing::warn!(
                authenticator,
                version = version.as_deref().unwrap_or("unknown"),
                "the admission policy for owners of Tekton runs is of another version: update the chart"
            ),
            Ok(AdmissionPolicyFound { state, .. }) => tracing::warn!(
                authenticator,
                state = state.as_str(),
                required,
                "the admission policy for owners of Tekton runs is not in force: the right to create pods or \
                 TaskRuns is enough to claim another run"
            ),
            Err(CallFailure::Credentials) => tracing::warn!(
                authenticator,
                required,
                "the broker may not read the admission policy for owners of Tekton runs (get of \
                 validatingadmissionpolicies and validatingadmissionpolicybindings)"
            ),
            Err(trouble) => tracing::warn!(
                authenticator,
                trouble = trouble.as_str(),
                "the admission policy for owners of Tekton runs could not be read"
            ),
        }
        *told = Some(now);
    }
}
