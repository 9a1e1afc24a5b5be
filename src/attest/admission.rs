//! Whether a cluster enforces the admission policy that protects the owner references of pods and runs. If the policy is required
//! and missing, Tekton runs cannot attest facts.

use super::error::AttestError;
use crate::cluster::{AdmissionPolicyState, CallFailure, Cluster, FoundAdmissionPolicy};
use crate::config::attestation::AdmissionPolicy;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Interval between reads of the policy and its binding.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// The same interval, until the state is known.
const FIRST_POLL_INTERVAL: Duration = Duration::from_secs(1);

const UNKNOWN: u8 = 0;
const PRESENT: u8 = 1;
const MISSING: u8 = 2;

/// The state of one cluster's admission policy.
pub struct Admission {
    mode: AdmissionPolicy,
    /// `UNKNOWN`, `PRESENT` or `MISSING`.
    state: AtomicU8,
    /// The last logged result, so that only changes are logged.
    logged: Mutex<Option<Result<FoundAdmissionPolicy, CallFailure>>>,
}

impl Admission {
    pub const fn new(mode: AdmissionPolicy) -> Self {
        Self { mode, state: AtomicU8::new(UNKNOWN), logged: Mutex::new(None) }
    }

    /// Whether the configuration switches the check of the policy off.
    pub fn is_disabled(&self) -> bool {
        self.mode == AdmissionPolicy::Off
    }

    /// Whether the Tekton runs of this cluster may attest facts. False only if the policy is required and missing.
    ///
    /// # Errors
    /// The policy is required and its state is not known yet.
    pub fn runs_may_attest(&self) -> Result<bool, AttestError> {
        match (self.mode, self.state.load(Ordering::Relaxed)) {
            (AdmissionPolicy::Warn | AdmissionPolicy::Off, _) | (AdmissionPolicy::Require, PRESENT) => Ok(true),
            (AdmissionPolicy::Require, UNKNOWN) => Err(AttestError::Unavailable),
            (AdmissionPolicy::Require, _) => Ok(false),
        }
    }

    /// Reads the policy periodically, as long as this future is polled. Returns at once if the check is off. `name` is the name of
    /// the authenticator.
    pub async fn poll(&self, cluster: &Cluster, name: &str) {
        if self.is_disabled() {
            return;
        }
        loop {
            let _ = self.refresh(cluster, name).await;
            let is_unknown = self.state.load(Ordering::Relaxed) == UNKNOWN;
            sleep(if is_unknown { FIRST_POLL_INTERVAL } else { POLL_INTERVAL }).await;
        }
    }

    /// Reads the policy once. If the call to the API server fails, the last result stays. If the broker has no right to
    /// read the policy, it counts as missing.
    pub async fn refresh(&self, cluster: &Cluster, name: &str) -> Result<FoundAdmissionPolicy, CallFailure> {
        let found = cluster.admission_policy().await;
        match &found {
            Ok(found) => {
                let is_enforced = matches!(found.state, AdmissionPolicyState::Present | AdmissionPolicyState::Outdated);
                self.state.store(if is_enforced { PRESENT } else { MISSING }, Ordering::Relaxed);
                cluster.set_admission_policy(name, found.state);
            }
            Err(CallFailure::Credentials) => {
                self.state.store(MISSING, Ordering::Relaxed);
                cluster.set_admission_policy(name, AdmissionPolicyState::Absent);
            }
            Err(_) => {}
        }
        self.log_change(name, &found);
        found
    }

    fn log_change(&self, authenticator: &str, found: &Result<FoundAdmissionPolicy, CallFailure>) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.as_ref() == Some(found) {
            return;
        }
        let required = self.mode == AdmissionPolicy::Require;
        match found {
            Ok(FoundAdmissionPolicy { state: AdmissionPolicyState::Present, .. }) => {
                tracing::info!(authenticator, "the admission policy for owners of Tekton runs is in force");
            }
            Ok(FoundAdmissionPolicy { state: AdmissionPolicyState::Outdated, version }) => tracing::warn!(
                authenticator,
                version = version.as_deref().unwrap_or("unknown"),
                "the admission policy for owners of Tekton runs is of another version: update the chart"
            ),
            Ok(FoundAdmissionPolicy { state, .. }) => tracing::warn!(
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
            Err(failure) => tracing::warn!(
                authenticator,
                trouble = failure.as_str(),
                "the admission policy for owners of Tekton runs could not be read"
            ),
        }
        *logged = Some(found.clone());
    }
}
