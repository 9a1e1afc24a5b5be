//! Checks a configuration without serving it: its files, its servers, and the mounts of its Vault stores.

use super::error::{StartError, fault_line};
use super::start::{connect_clusters, new_metrics, open_authenticators};
use super::tls::Certificate;
use super::{authenticator_check, keys, policies};
use crate::attest::Attestors;
use crate::cluster::Clusters;
use crate::config::authenticators::Kind;
use crate::config::{CLUSTER_ISSUER_FAULT, Config};
use crate::document::Fault;
use crate::model::clock::{Clock, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use crate::policy::{GrantedPath, PathPart, Policy};
use crate::stores::{ReadError, SecretNaming, Stores};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::stores::Engine;

/// The result of the check of a configuration without faults.
pub struct CheckedConfiguration {
    /// The number of policies in files.
    pub policy_count: usize,
    /// Settings that work but should be changed, as lines for people.
    pub warnings: Vec<String>,
    /// One line for each path that the policies grant in a cloud store, with the name of the secret there. `*` is any one
    /// segment, `**` one or more.
    pub secret_name_lines: Vec<String>,
}

/// Reads the policies, the certificate, kubeconfigs, key files and the files of stores.
///
/// # Errors
/// Every fault, as a line for people.
pub fn check_offline(config: &Config) -> Result<CheckedConfiguration, Vec<String>> {
    let found = authenticator_check::check(config);
    let mut faults: Vec<String> = found.faults.iter().map(fault_line).collect();
    let certificate = config.server.tls.clone().map(|files| Certificate::open(files, None)).transpose();
    faults.extend(certificate.err().map(|error| format!("server.tls: {error}")));
    faults.extend(key_faults(config));
    faults.extend(Stores::check_files(&config.stores).iter().map(fault_line));
    match policies::directory_policies(config) {
        Ok(policies) if faults.is_empty() => {
            let secret_name_lines = secret_name_lines(config, &policies);
            Ok(CheckedConfiguration {
                policy_count: policies.len(),
                warnings: found.warnings.iter().map(fault_line).collect(),
                secret_name_lines,
            })
        }
        policies => {
            faults.extend(policies.err().into_iter().flatten());
            Err(faults)
        }
    }
}

/// One line for each path that the policies grant in a cloud store.
fn secret_name_lines(config: &Config, policies: &[Arc<Policy>]) -> Vec<String> {
    let namings: BTreeMap<&str, SecretNaming> =
        config.stores.iter().filter_map(|store| Some((&*store.name, SecretNaming::for_store(&store.kind)?))).collect();
    let granted = policies.iter().flat_map(|policy| policy.paths());
    let lines: BTreeSet<String> =
        granted.filter_map(|path| Some(secret_name_line(&path, *namings.get(&*path.store)?))).collect();
    lines.into_iter().collect()
}

fn secret_name_line(granted: &GrantedPath, naming: SecretNaming) -> String {
    let pattern = |part: &PathPart| match part {
        PathPart::Literal(literal) => literal.to_string(),
        PathPart::AnySegment => "*".to_owned(),
        PathPart::AnySegments => "**".to_owned(),
    };
    let secret_name = |part: &PathPart| match part {
        PathPart::Literal(literal) => naming.encode_segment(literal),
        wildcard => Some(pattern(wildcard)),
    };
    let path = granted.parts.iter().map(pattern).collect::<Vec<_>>().join("/");
    let names: Option<Vec<_>> = granted.parts.iter().map(secret_name).collect();
    let store = &granted.store;
    match names {
        Some(names) => format!("store {store}: {path} is named {}", names.join(naming.separator())),
        None => format!("store {store}: {path} has no name there: a character cannot be part of one"),
    }
}

/// One line for each key file that cannot be read or holds no key.
fn key_faults(config: &Config) -> Vec<String> {
    let files = [
        ("database.keyFile".to_owned(), config.database.key_file.as_ref()),
        ("audit.keyFile".to_owned(), config.audit.key_file.as_ref()),
    ];
    let retired = config.audit.retired_key_files.iter().enumerate();
    let retired = retired.map(|(index, file)| (format!("audit.retiredKeyFiles[{index}]"), Some(file)));
    let fault = |(setting, file): (String, Option<&PathBuf>)| {
        let error = keys::read_key_file(file?).err()?;
        Some(format!("{setting}: {error}"))
    };
    files.into_iter().chain(retired).filter_map(fault).collect()
}

/// Contacts every API server, issuer and store. Returns the name of each check, with its result or the fault as text.
///
/// # Errors
/// A client cannot be created.
pub async fn check_online(config: Config) -> Result<Vec<(String, Result<&'static str, String>)>, StartError> {
    const REACHED: &str = "reached";

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(new_metrics(&config)?);
    let clusters = connect_clusters(&config, &metrics).await?;
    let authenticators = open_authenticators(&config, &clusters, &clock, &metrics)?;
    let stores = Stores::open(&config.stores, &metrics)?;
    let mut results = Vec::new();
    match authenticators.check_online().await {
        Ok(()) => results.push(("authenticators".to_owned(), Ok(REACHED))),
        Err(faults) => results.extend(faults.into_iter().map(|fault| (fault.dotted_path(), Err(fault.detail)))),
    }
    results.extend(check_oidc_issuers(&config, &clusters).await);
    let attestors = Attestors::open(&config.authenticators, &clusters, config.attestation.admission_policy);
    for (name, result) in attestors.check_admission_policies().await {
        results.push((format!("admission policy of {name}"), result));
    }
    for (name, result) in stores.check_online().await {
        results.push((format!("store {name}"), result.map(|()| REACHED).map_err(|fault| fault.to_string())));
    }
    Ok(results)
}

/// Reports each `oidc` entry whose issuer is that of a configured cluster. The issuer of a cluster is what its API server states.
async fn check_oidc_issuers(config: &Config, clusters: &Clusters) -> Vec<(String, Result<&'static str, String>)> {
    let oidc_issuers = || {
        config.authenticators.iter().enumerate().filter_map(|(index, authenticator)| match &authenticator.kind {
            Kind::Oidc(oidc) => Some((index, &oidc.issuer)),
            Kind::Kubernetes(_) => None,
        })
    };
    let mut found = Vec::new();
    if oidc_issuers().next().is_none() {
        return found;
    }
    for authenticator in &config.authenticators {
        let Kind::Kubernetes(kubernetes) = &authenticator.kind else { continue };
        let Some(cluster) = clusters.get(kubernetes.kubeconfig.as_deref()) else { continue };
        match cluster.issuer().await {
            Ok(issuer) => found.extend(oidc_issuers().filter(|(_, oidc)| **oidc == issuer).map(|(index, _)| {
                let fault = Fault::new(format!("/authenticators/{index}/oidc/issuer"), CLUSTER_ISSUER_FAULT);
                (fault.dotted_path(), Err(fault.detail))
            })),
            Err(_) => found.push((
                format!("issuer of {}", authenticator.name),
                Ok("could not be read, so that no oidc entry was compared with it"),
            )),
        }
    }
    found
}

/// Asks the stores for the mount of each path. Returns the path of the mount, with a trailing slash, and the engine of the mount.
///
/// # Errors
/// The stores cannot be opened.
pub async fn find_mounts(
    config: &Config,
    paths: &[SecretRef],
) -> Result<Vec<Result<(String, Engine), ReadError>>, StartError> {
    let metrics = Arc::new(new_metrics(config)?);
    let stores = Stores::open(&config.stores, &metrics)?;
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        found.push(stores.find_mount(path, &RequestId::random()).await);
    }
    Ok(found)
}
