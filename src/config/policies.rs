//! `policies`: the sources of policies, and upper bounds on what they grant.

use super::authenticators::{Authenticator, Kind};
use super::ceiling::{CeilingEntry, RawCeilingEntry, parse_path_prefix};
use super::fault_collector::FaultCollector;
use super::tenants::{RawTenant, Tenant};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// The validated section.
#[derive(Debug, Clone)]
pub struct Policies {
    /// A directory with policies in YAML, read again after a change.
    pub directory: Option<PathBuf>,
    /// The names of the kubernetes authenticators from whose clusters custom resources are read as policies.
    pub custom_resources: Vec<Arc<str>>,
    /// For each tenant, the secrets that `Policy` resources in its namespaces may grant.
    pub tenants: Vec<Tenant>,
    /// The only secrets that any policy may grant. An empty list is no bound.
    pub ceiling: Vec<CeilingEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawPolicies {
    directory: Option<String>,
    custom_resources: Option<Vec<Option<String>>>,
    tenants: Option<Vec<Option<RawTenant>>>,
    ceiling: Option<Vec<Option<RawCeilingEntry>>>,
}

impl RawPolicies {
    /// `stores` and `authenticators` are the names of all stores and of all kubernetes authenticators. They include the names of
    /// entries with faults, so that a reference to such an entry is not a second fault.
    pub(super) fn validate(
        self,
        stores: &[String],
        authenticators: &[String],
        faults: &mut FaultCollector,
    ) -> Policies {
        let directory = faults.optional_directory("/policies/directory", self.directory);
        let custom_resources = faults.validate_cluster_names(
            "/policies/customResources",
            self.custom_resources,
            authenticators,
            "is listed twice",
        );
        let tenants = faults.validate_each("/policies/tenants", self.tenants, |raw: RawTenant, pointer, faults| {
            Some(raw.validate(pointer, stores, faults))
        });
        let ceiling =
            faults.validate_each("/policies/ceiling", self.ceiling, |raw: RawCeilingEntry, pointer, faults| {
                raw.validate(pointer, stores, parse_path_prefix, faults)
            });
        Policies { directory, custom_resources, tenants, ceiling }
    }
}

/// Refuses two entries of `customResources` with the same kubeconfig: the policies of that cluster would be read twice, under the
/// same names.
pub(super) fn require_distinct_clusters(
    policies: &Policies,
    authenticators: &[Authenticator],
    faults: &mut FaultCollector,
) {
    let kubeconfig_of = |name: &Arc<str>| {
        authenticators.iter().find(|one| one.name == *name).and_then(|one| match &one.kind {
            Kind::Kubernetes(kubernetes) => Some(kubernetes.kubeconfig.as_ref()),
            Kind::Oidc(_) => None,
        })
    };
    let kubeconfigs: Vec<_> = policies.custom_resources.iter().map(kubeconfig_of).collect();
    for (index, kubeconfig) in kubeconfigs.iter().enumerate() {
        if kubeconfig.is_some() && kubeconfigs[..index].contains(kubeconfig) {
            faults.record(
                format!("/policies/customResources/{index}"),
                "is for the same cluster as another entry of the list",
            );
        }
    }
}
