//! Diagnoses an installation: checks what it needs in order to serve, and gives one line of advice for each fault.
//!
//! It changes nothing: no migration, no file, no lease. Each group of checks has a time limit, and the groups run concurrently.

mod active_policies;
mod certificates;
mod clocks;
mod cluster;
mod database;
mod store;

use super::configuration_check::check_offline;
use super::error::with_causes;
use super::start::{connect_clusters, new_metrics, open_authenticators};
use crate::attest::Attestors;
use crate::config::Config;
use crate::config::attestation::AdmissionPolicy;
use crate::metrics::Metrics;
use crate::model::clock::{Clock, SystemClock};
use crate::stores::Stores;
use crate::wire::doctor::{DoctorCheck, DoctorReport};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The time limit of one group of checks, such as those of a store.
const GROUP_LIMIT: Duration = Duration::from_secs(30);

/// Checks everything. `namespaces` are the namespaces of the builds. If there are none, the rights of the broker are checked for
/// the whole cluster.
pub async fn diagnose(config: &Config, namespaces: &[String]) -> DoctorReport {
    let mut checks = check_files(config);
    let metrics = match new_metrics(config) {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => {
            checks.push(DoctorCheck::failed("configuration", error.to_string(), "report this as a fault of Claviger"));
            return new_report(checks);
        }
    };
    checks.extend(certificates::check(config, SystemClock.now()));
    let (clusters, stores, database) = tokio::join!(
        with_time_limit("API servers", check_clusters(config, &metrics, namespaces)),
        with_time_limit("stores", check_stores(config, &metrics)),
        with_time_limit("database", database::check(&config.database.url)),
    );
    checks.extend([clusters, stores, database].into_iter().flatten());
    new_report(checks)
}

/// The report of a configuration that cannot be read.
#[must_use]
pub fn misconfiguration_report(faults: impl IntoIterator<Item = String>) -> DoctorReport {
    let advice = "correct the configuration at this key; `claviger check --config FILE` checks it without a cluster";
    new_report(faults.into_iter().map(|fault| DoctorCheck::failed("configuration", fault, advice)).collect())
}

fn new_report(checks: Vec<DoctorCheck>) -> DoctorReport {
    DoctorReport { ok: checks.iter().all(|check| check.ok), checks }
}

async fn with_time_limit(name: &str, checks: impl Future<Output = Vec<DoctorCheck>>) -> Vec<DoctorCheck> {
    timeout(GROUP_LIMIT, checks).await.unwrap_or_else(|_| {
        let detail = format!("the checks did not end within {} s", GROUP_LIMIT.as_secs());
        vec![DoctorCheck::failed(name, detail, "see whether the network lets this machine reach them")]
    })
}

fn check_files(config: &Config) -> Vec<DoctorCheck> {
    match check_offline(config) {
        Ok(checked) => {
            let detail = format!("good, with {} policies in files", checked.policy_count);
            let mut checks = vec![DoctorCheck::passed("configuration", detail)];
            // A warning has the form `KEY: TEXT`, and without a configuration key `: TEXT`.
            let warning = |text: &String| DoctorCheck::passed("configuration", text.trim_start_matches(": "));
            checks.extend(checked.warnings.iter().map(warning));
            checks
        }
        Err(faults) => misconfiguration_report(faults).checks,
    }
}

async fn check_clusters(config: &Config, metrics: &Arc<Metrics>, namespaces: &[String]) -> Vec<DoctorCheck> {
    let clusters = match connect_clusters(config, metrics).await {
        Ok(clusters) => clusters,
        Err(error) => {
            let detail = with_causes(&error);
            return vec![DoctorCheck::failed(
                "API servers",
                detail,
                "correct the kubeconfig, or mount a ServiceAccount token",
            )];
        }
    };
    let mut checks = cluster::check(config, &clusters, namespaces).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    match open_authenticators(config, &clusters, &clock, metrics) {
        Ok(authenticators) => match authenticators.check_online().await {
            Ok(()) => checks.push(DoctorCheck::passed("authenticators", "tokens can be reviewed and keys be read")),
            Err(faults) => checks.extend(faults.into_iter().map(|fault| {
                let advice = "bind the ClusterRole system:auth-delegator, use a token of another audience, or correct the issuer";
                DoctorCheck::failed(format!("authenticators: {}", fault.dotted_path()), fault.detail, advice)
            })),
        },
        Err(error) => checks.push(DoctorCheck::failed("authenticators", with_causes(&error), "correct the configuration")),
    }
    if config.attestation.admission_policy != AdmissionPolicy::Off {
        let attestors = Attestors::open(&config.authenticators, &clusters, config.attestation.admission_policy);
        for (name, result) in attestors.check_admission_policies().await {
            let name = format!("cluster {name}: admission policy");
            let advice = "install the admission policy of the chart (rbac.tekton, admissionPolicy), or set attestation.admissionPolicy";
            checks.push(match result {
                Ok(state) => DoctorCheck::passed(name, state),
                Err(detail) => DoctorCheck::failed(name, detail, advice),
            });
        }
    }
    checks
}

async fn check_stores(config: &Config, metrics: &Arc<Metrics>) -> Vec<DoctorCheck> {
    let stores = match Stores::open(&config.stores, metrics) {
        Ok(stores) => stores,
        Err(error) => {
            return vec![DoctorCheck::failed(
                "stores",
                error.to_string(),
                "correct the files that the store's section names",
            )];
        }
    };
    let (policies, mut checks) = active_policies::read_active_policies(config, metrics).await;
    checks.extend(store::check(&stores, &policies).await);
    checks
}
