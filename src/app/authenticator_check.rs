//! Checks the files of the authenticators and the tenants of the configuration, without network access.

use super::policy_bounds::tenant_pattern_faults;
use crate::authn;
use crate::cluster::{self, ConnectError};
use crate::config::authenticators::{API_SERVER_AUDIENCE_FAULT, Authenticator, Kind};
use crate::config::{CLUSTER_ISSUER_FAULT, Config};
use crate::document::Fault;

/// What the check found.
#[derive(Default)]
pub struct FileFindings {
    /// Faults, which prevent a start.
    pub faults: Vec<Fault>,
    /// Warnings, including those of the configuration itself.
    pub warnings: Vec<Fault>,
}

/// Checks all authenticators, and the namespace patterns of `policies.tenants`. The in-cluster files are checked only if the
/// process runs in a cluster.
#[must_use]
pub fn check(config: &Config) -> FileFindings {
    let mut found =
        FileFindings { faults: authn::check_files(&config.authenticators), warnings: config.warnings.clone() };
    found.faults.extend(tenant_pattern_faults(config));
    let mut issuers = Vec::new();
    for (index, Authenticator { kind, .. }) in config.authenticators.iter().enumerate() {
        let Kind::Kubernetes(kubernetes) = kind else { continue };
        let pointer = format!("/authenticators/{index}/kubernetes");
        let kubeconfig = format!("{pointer}/kubeconfig");
        match cluster::check_credentials(kubernetes.kubeconfig.as_deref()) {
            Ok(checked) => {
                let warnings = checked.warnings.iter().map(|warning| Fault::new(&kubeconfig, warning.to_string()));
                found.warnings.extend(warnings);
                if let Some(own) = checked.own_token {
                    // If the broker's own token has one audience, it is that of the API server, so a configured audience that
                    // equals it is a fault. If the token has several, it is unknown which of them is the API server's, so nothing
                    // is reported.
                    if own.audiences == [kubernetes.audience.as_str()] {
                        found.faults.push(Fault::new(format!("{pointer}/audience"), API_SERVER_AUDIENCE_FAULT));
                    }
                    if kubernetes.unbound_audience.as_ref().is_some_and(|unbound| own.audiences == [unbound.as_str()]) {
                        found.faults.push(Fault::new(format!("{pointer}/unboundAudience"), API_SERVER_AUDIENCE_FAULT));
                    }
                    issuers.push(own.issuer);
                }
            }
            Err(ConnectError::NotInCluster) => {}
            Err(ConnectError::Faults(faults)) => {
                found.faults.extend(faults.iter().map(|fault| Fault::new(&kubeconfig, fault.to_string())));
            }
            Err(error) => found.faults.push(Fault::new(&kubeconfig, error.to_string())),
        }
    }
    for (index, Authenticator { kind, .. }) in config.authenticators.iter().enumerate() {
        if let Kind::Oidc(oidc) = kind
            && issuers.contains(&oidc.issuer)
        {
            found.faults.push(Fault::new(format!("/authenticators/{index}/oidc/issuer"), CLUSTER_ISSUER_FAULT));
        }
    }
    found.warnings.sort();
    found.warnings.dedup();
    found
}
