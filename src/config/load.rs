//! Loads the configuration from a file and from environment variables.

use super::administrators::{AuthenticatorNames, RawAdministrators};
use super::attestation::RawAttestation;
use super::audit::RawAudit;
use super::authenticators::{self, RawAuthenticator};
use super::database::RawDatabase;
use super::defaults::Defaults;
use super::environment::{self, Override};
use super::fault_collector::FaultCollector;
use super::limits::RawLimits;
use super::policies::{self, RawPolicies};
use super::sections::Config;
use super::server::RawServer;
use super::stores::{self, RawStore};
use super::telemetry::RawTelemetry;
use super::tickets::RawTickets;
use super::vault_api::RawVaultApi;
use super::warnings;
use crate::document::{self, Fault};
use serde::Deserialize;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Maximum size of a configuration file in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The decoded file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ConfigFile {
    server: Option<RawServer>,
    authenticators: Option<Vec<Option<RawAuthenticator>>>,
    administrators: Option<RawAdministrators>,
    attestation: Option<RawAttestation>,
    stores: Option<Vec<Option<RawStore>>>,
    database: Option<RawDatabase>,
    policies: Option<RawPolicies>,
    tickets: Option<RawTickets>,
    limits: Option<RawLimits>,
    audit: Option<RawAudit>,
    telemetry: Option<RawTelemetry>,
    vault_api: Option<RawVaultApi>,
}

/// Loads a configuration file, with overrides from the environment of the process. Relative paths start at the folder of the file.
///
/// # Errors
/// All faults, ordered by place.
pub fn load(file: &Path) -> Result<Config, Vec<Fault>> {
    let file_fault = |reason: &str| vec![Fault::new("", format!("the configuration file {} {reason}", file.display()))];
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let opened = File::open(file).map_err(|_| file_fault("cannot be opened"))?;
    opened.take(limit).read_to_end(&mut bytes).map_err(|_| file_fault("cannot be read"))?;
    let text = String::from_utf8(bytes).map_err(|_| file_fault("is not UTF-8"))?;
    let absolute_path = std::path::absolute(file).map_err(|_| file_fault("has no folder"))?;
    let folder = absolute_path.parent().unwrap_or(Path::new("/"));
    parse_and_validate(&text, environment::process_variables()?.into_iter(), folder)
}

/// Loads a configuration from a text, with these variables as overrides. Relative paths start at the working directory.
///
/// # Errors
/// All faults, ordered by place.
pub fn from_text(yaml: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Config, Vec<Fault>> {
    parse_and_validate(yaml, environment, Path::new(""))
}

/// Loads a configuration that is embedded in the program, with overrides from the environment of the process. Relative paths start
/// at the working directory.
///
/// # Errors
/// All faults, ordered by place.
pub fn load_embedded(yaml: &str) -> Result<Config, Vec<Fault>> {
    parse_and_validate(yaml, environment::process_variables()?.into_iter(), Path::new(""))
}

fn parse_and_validate(
    yaml: &str,
    environment: impl Iterator<Item = (String, String)>,
    folder: &Path,
) -> Result<Config, Vec<Fault>> {
    if yaml.len() > MAX_BYTES {
        return Err(vec![Fault::new("", "the configuration has more than 1 MiB")]);
    }
    let mut document = document::parse(yaml).map_err(|fault| vec![fault])?;
    let defaults = Defaults::parse().map_err(|fault| vec![fault])?;
    if !document.is_object() && !document.is_null() {
        return Err(vec![Fault::new("", "must be a map")]);
    }
    let environment: Vec<(String, String)> = environment.collect();
    let proxy_variables = environment::proxy_variables(&environment);
    let (overrides, mut faults) = environment::find_overrides(&defaults.sections, environment.iter().cloned());
    for one in &overrides {
        one.apply_to(&mut document);
    }
    // Values that cannot be decoded are removed, so that the rest can be validated and all faults are reported together.
    if document.is_object() {
        faults.extend(document::prune::<ConfigFile>(&mut document).1);
        // The values of claims may have any type.
        let is_untyped = |path: &[&str]| matches!(path, ["administrators", "static", _, "claims", ..]);
        faults.extend(document::check_reinterpreted_scalars(yaml, is_untyped).map_err(|fault| vec![fault])?);
    }
    let file: ConfigFile = document::decode(defaults.merge_with(document))?;
    let mut collector = FaultCollector::new(folder);
    let config = file.validate(&mut collector);
    let is_consequence_of_any = |fault: &Fault| faults.iter().any(|cause| is_consequence(fault, cause));
    let (_, independent): (Vec<Fault>, Vec<Fault>) =
        collector.into_faults().into_iter().partition(is_consequence_of_any);
    faults.extend(independent);
    match config {
        Some(mut config) if faults.is_empty() => {
            config.warnings = warnings::find_warnings(&config, &proxy_variables);
            Ok(config)
        }
        _ => Err(sort_and_name_variables(faults, &overrides)),
    }
}

impl ConfigFile {
    fn validate(self, faults: &mut FaultCollector) -> Option<Config> {
        let authenticators = self.authenticators.unwrap_or_default();
        let stores = self.stores.unwrap_or_default();
        let named = |is_of_kind: fn(&RawAuthenticator) -> bool| {
            let of_kind = authenticators.iter().flatten().filter(|raw| is_of_kind(raw));
            of_kind.filter_map(|raw| raw.name.clone()).collect()
        };
        let names = AuthenticatorNames {
            kubernetes: named(|raw| raw.kubernetes.is_some()),
            oidc: named(|raw| raw.oidc.is_some()),
        };
        let store_names: Vec<String> = stores.iter().flatten().filter_map(|raw| raw.name.clone()).collect();

        let server = self.server.unwrap_or_default().validate(faults);
        let authenticators = authenticators::validate(authenticators, faults);
        let administrators = self.administrators.unwrap_or_default().validate(&names, faults);
        let attestation = self.attestation.unwrap_or_default().validate(faults);
        let stores = stores::validate(stores, faults);
        let database = self.database.unwrap_or_default().validate(faults);
        let policies = self.policies.unwrap_or_default().validate(&store_names, &names.kubernetes, faults);
        policies::require_distinct_clusters(&policies, &authenticators, faults);
        let tickets =
            self.tickets.unwrap_or_default().validate(database.as_ref().map(|database| &database.url), faults);
        let limits = self.limits.unwrap_or_default().validate(faults);
        let audit = self.audit.unwrap_or_default().validate(faults);
        let telemetry = self.telemetry.unwrap_or_default().validate(faults);
        let vault_api = self.vault_api.unwrap_or_default().validate(faults);
        Some(Config {
            server: server?,
            authenticators,
            administrators: administrators?,
            attestation: attestation?,
            stores,
            database: database?,
            policies,
            tickets: tickets?,
            limits: limits?,
            audit: audit?,
            telemetry: telemetry?,
            vault_api: vault_api?,
            warnings: Vec::new(),
        })
    }
}

/// Whether a fault is only a consequence of the removal of a value; `cause` is the fault of that value. The place of such a fault
/// is that of the value, a place below it, or that of the entry that contains it.
fn is_consequence(fault: &Fault, cause: &Fault) -> bool {
    let is_below =
        fault.pointer.strip_prefix(&cause.pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_parent =
        cause.pointer.rsplit_once('/').is_some_and(|(parent, _)| !parent.is_empty() && parent == fault.pointer);
    !cause.pointer.is_empty() && (is_below || is_parent)
}

/// Sorts faults by place, and adds the names of the variables that set the values.
fn sort_and_name_variables(mut faults: Vec<Fault>, overrides: &[Override]) -> Vec<Fault> {
    for fault in &mut faults {
        if let Some(one) = overrides.iter().find(|one| one.pointer == fault.pointer) {
            fault.detail = format!("{} (set by {})", fault.detail, one.variable);
        }
    }
    faults.sort();
    faults.dedup();
    faults
}
