//! Checks of a configuration without serving it: its files, its servers, and the mounts of its Vault stores.

use super::error::{StartError, line};
use super::start::{connect_clusters, new_metrics, open_authenticators};
use super::tls::Certificate;
use super::{authenticators, keys, policies};
use crate::attest::Attestors;
use crate::cluster::Clusters;
use crate::config::authenticators::Kind;
use crate::config::{Config, OF_CLUSTER};
use crate::document::Fault;
use crate::model::clock::{Clock, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use crate::policy::{GrantedPath, PathPart, Policy};
use crate::stores::{Naming, ReadError, Stores};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::stores::Engine;

/// A configuration that can be served.
pub struct Checked {
    /// The number of policies.
    pub policies: usize,
    /// Settings that work but should be changed, as lines for people.
    pub warnings: Vec<String>,
    /// The name of each path of a cloud store, as lines for a person. `*` is any one segment, `**` one or more.
    pub names: Vec<String>,
}

/// Reads the policies, the certificate, kubeconfigs, key files and the files of file stores.
///
/// # Errors
/// Every fault, as a line for people.
pub fn check_offline(config: &Config) -> Result<Checked, Vec<String>> {
    let found = authenticators::check(config);
    let mut faults: Vec<String> = found.faults.iter().map(line).collect();
    let certificate = config.server.tls.clone().map(|files| Certificate::open(files, None)).transpose();
    faults.extend(certificate.err().map(|error| format!("server.tls: {error}")));
    faults.extend(key_faults(config));
    faults.extend(Stores::check_files(&config.stores).iter().map(ToString::to_string));
    match policies::directory_policies(config) {
        Ok(policies) if faults.is_empty() => {
            let names = store_names(config, &policies);
            Ok(Checked { policies: policies.len(), warnings: found.warnings.iter().map(line).collect(), names })
        }
        policies => {
            faults.extend(policies.err().into_iter().flatten());
            Err(faults)
        }
    }
}

/// The paths that the policies grant in cloud stores, and what secrets are named there.
fn store_names(config: &Config, policies: &[Arc<Policy>]) -> Vec<String> {
    let namings: BTreeMap<&str, Naming> =
        config.stores.iter().filter_map(|store| Some((&*store.name, Naming::of(&store.kind)?))).collect();
    let granted = policies.iter().flat_map(|policy| policy.paths());
    let lines: BTreeSet<String> =
        granted.filter_map(|path| Some(name_line(&path, *namings.get(&*path.store)?))).collect();
    lines.into_iter().collect()
}

fn name_line(granted: &GrantedPath, naming: Naming) -> String {
    let shown = |part: &PathPart| match part {
        PathPart::Literal(literal) => literal.to_string(),
        PathPart::AnySegment => "*".to_owned(),
        PathPart::AnySegments => "**".to_owned(),
    };
    let named = |part: &PathPart| match part {
        PathPart::Literal(literal) => naming.segment(literal),
        open => Some(shown(open)),
    };
    let path = granted.parts.iter().map(shown).collect::<Vec<_>>().join("/");
    let names: Option<Vec<_>> = granted.parts.iter().map(named).collect();
    let store = &granted.store;
    match names {
        Some(names) => format!("store {store}: {path} is named {}", names.join(naming.separator())),
        None => format!("store {store}: {path} has no name there: a character cannot be part of one"),
    }
}

/// Faults of key files.
fn key_faults(config: &Config) -> Vec<String> {
    let named = [
        ("database.keyFile".to_owned(), config.database.key_file.as_ref()),
        ("audit.keyFile".to_owned(), config.audit.key_file.as_ref()),
    ];
    let retired = config.audit.retired_key_files.iter().enumerate();
    let retired = retired.map(|(at, file)| (format!("audit.retiredKeyFiles[{at}]"), Some(file)));
    let fault = |(setting, file): (String, Option<&PathBuf>)| {
        let error = keys::read(file?).err()?;
        Some(format!("{setting}: {error}"))
    };
    named.into_iter().chain(retired).filter_map(fault).collect()
}

/// Contacts every API server and every store, and reports for each whether it can be used.
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
    let mut reached = Vec::new();
    match authenticators.check_online().await {
        Ok(()) => reached.push(("authenticators".to_owned(), Ok(REACHED))),
        Err(faults) => reached.extend(faults.into_iter().map(|fault| (fault.dotted(), Err(fault.detail)))),
    }
    reached.extend(issuers_of_clusters(&config, &clusters).await);
    let attestors = Attestors::open(&config.authenticators, &clusters, config.attestation.admission_policy);
    for (name, result) in attestors.check_admission_policies().await {
        reached.push((format!("admission policy of {name}"), result));
    }
    for (name, result) in stores.check_online().await {
        reached.push((format!("store {name}"), result.map(|()| REACHED).map_err(|fault| fault.to_string())));
    }
    Ok(reached)
}

/// The `oidc` entries whose issuer is that of a configured cluster, according to its API server.
async fn issuers_of_clusters(config: &Config, clusters: &Clusters) -> Vec<(String, Result<&'static str, String>)> {
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
                let fault = Fault::new(format!("/authenticators/{index}/oidc/issuer"), OF_CLUSTER);
                (fault.dotted(), Err(fault.detail))
            })),
            Err(_) => found.push((
                format!("issuer of {}", authenticator.name),
                Ok("could not be read, so that no oidc entry was compared with it"),
            )),
        }
    }
    found
}

/// The mount of each path, with a trailing slash, and its kind.
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
        found.push(stores.mount_of(path, &RequestId::random()).await);
    }
    Ok(found)
}
