//! `policies`: where policies are read from, and an upper bound on all of them.

use super::authenticators::{Authenticator, Kind};
use super::ceiling::{CeilingEntry, RawCeilingEntry, path_prefix};
use super::check::Check;
use super::tenants::{RawTenant, Tenant};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Policies {
    /// A directory of YAML policies, read again on change.
    pub directory: Option<PathBuf>,
    /// The kubernetes authenticators whose clusters have policies as custom resources.
    pub custom_resources: Vec<Arc<str>>,
    /// What the policies of namespaces can grant.
    pub tenants: Vec<Tenant>,
    /// If not empty, policies cannot grant any other secrets.
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
    /// `stores` has the names of all stores, `clusters` those of all kubernetes authenticators, including entries with faults.
    pub(super) fn check(self, stores: &[String], clusters: &[String], check: &mut Check) -> Policies {
        let directory = check.directory_if_set("/policies/directory", self.directory);
        let mut custom_resources: Vec<Arc<str>> = Vec::new();
        for (index, name) in self.custom_resources.into_iter().flatten().enumerate() {
            let at = format!("/policies/customResources/{index}");
            let Some(name) = check.required(&at, name) else { continue };
            if !clusters.contains(&name) {
                check.fault(at, "must be the name of a kubernetes authenticator");
            } else if custom_resources.iter().any(|other| **other == *name) {
                check.fault(at, "is listed twice");
            } else {
                custom_resources.push(name.into());
            }
        }
        let mut tenants = Vec::new();
        for (index, raw) in self.tenants.into_iter().flatten().enumerate() {
            let at = format!("/policies/tenants/{index}");
            tenants.extend(check.required(&at, raw).and_then(|raw| raw.check(&at, stores, check)));
        }
        let mut ceiling = Vec::new();
        for (index, raw) in self.ceiling.into_iter().flatten().enumerate() {
            let at = format!("/policies/ceiling/{index}");
            let entry = check.required(&at, raw).and_then(|raw| raw.check(&at, stores, path_prefix, check));
            ceiling.extend(entry);
        }
        Policies { directory, custom_resources, tenants, ceiling }
    }
}

/// Two authenticators may have one cluster, whose objects would then have their names twice.
pub(super) fn check_clusters(policies: &Policies, authenticators: &[Authenticator], check: &mut Check) {
    let kubeconfig = |name: &Arc<str>| {
        authenticators.iter().find(|one| one.name == *name).and_then(|one| match &one.kind {
            Kind::Kubernetes(kubernetes) => Some(kubernetes.kubeconfig.as_ref()),
            Kind::Oidc(_) => None,
        })
    };
    let listed: Vec<_> = policies.custom_resources.iter().map(kubeconfig).collect();
    for (index, one) in listed.iter().enumerate() {
        if one.is_some() && listed[..index].contains(one) {
            check.fault(format!("/policies/customResources/{index}"), "has the cluster of another one of the list");
        }
    }
}
