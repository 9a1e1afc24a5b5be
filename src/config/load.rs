//! Reads a file and the environment into a checked configuration, or returns all faults.

use super::administrators::{Names, RawAdministrators};
use super::attestation::RawAttestation;
use super::audit::RawAudit;
use super::authenticators::{self, RawAuthenticator};
use super::check::Check;
use super::database::RawDatabase;
use super::defaults::Defaults;
use super::environment::{self, Override};
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

/// The whole file as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct ConfigFile {
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

/// Reads a configuration file, with overrides from the process environment. Relative paths start at the file's
/// folder.
///
/// # Errors
/// All faults, ordered by place.
pub fn load(file: &Path) -> Result<Config, Vec<Fault>> {
    let cannot = |reason: &str| vec![Fault::new("", format!("the configuration file {} {reason}", file.display()))];
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let opened = File::open(file).map_err(|_| cannot("cannot be opened"))?;
    opened.take(limit).read_to_end(&mut bytes).map_err(|_| cannot("cannot be read"))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("is not UTF-8"))?;
    let whole = std::path::absolute(file).map_err(|_| cannot("has no folder"))?;
    let folder = whole.parent().unwrap_or(Path::new("/"));
    build(&text, environment::of_process()?.into_iter(), folder)
}

/// Reads a configuration from a string, with these variables as overrides. It accesses only files that the text
/// names, to check that they exist. Relative paths start at the working directory.
///
/// # Errors
/// All faults, ordered by place.
pub fn from_text(yaml: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Config, Vec<Fault>> {
    build(yaml, environment, Path::new(""))
}

/// Reads a configuration embedded in the program, with overrides from the process environment.
///
/// # Errors
/// All faults, ordered by place.
pub fn embedded(yaml: &str) -> Result<Config, Vec<Fault>> {
    build(yaml, environment::of_process()?.into_iter(), Path::new(""))
}

fn build(yaml: &str, environment: impl Iterator<Item = (String, String)>, folder: &Path) -> Result<Config, Vec<Fault>> {
    if yaml.len() > MAX_BYTES {
        return Err(vec![Fault::new("", "the configuration has more than 1 MiB")]);
    }
    let mut document = document::parse(yaml).map_err(|fault| vec![fault])?;
    let defaults = Defaults::read().map_err(|fault| vec![fault])?;
    if !document.is_object() && !document.is_null() {
        return Err(vec![Fault::new("", "must be a map")]);
    }
    let environment: Vec<(String, String)> = environment.collect();
    let proxies = environment::proxies(&environment);
    let (overrides, mut faults) = environment::overrides(&defaults.sections, environment.iter().cloned());
    for one in &overrides {
        one.write_into(&mut document);
    }
    // Removes values that cannot be decoded, so that the rest is checked and all faults are reported together.
    if document.is_object() {
        faults.extend(document::prune::<ConfigFile>(&mut document).1);
        // Claim values may have any type; they are compared with those of a token.
        let is_free = |at: &[&str]| matches!(at, ["administrators", "static", _, "claims", ..]);
        faults.extend(document::misread_in(yaml, is_free).map_err(|fault| vec![fault])?);
    }
    let file: ConfigFile = document::decode(defaults.under(document))?;
    let mut check = Check::new(folder);
    let config = file.check(&mut check);
    let consequence = |fault: &Fault| faults.iter().any(|cause| follows(fault, cause));
    let (_, own): (Vec<Fault>, Vec<Fault>) = check.into_faults().into_iter().partition(consequence);
    faults.extend(own);
    match config {
        Some(mut config) if faults.is_empty() => {
            config.warnings = warnings::find(&config, &proxies);
            Ok(config)
        }
        _ => Err(with_variables(faults, &overrides)),
    }
}

impl ConfigFile {
    fn check(self, check: &mut Check) -> Option<Config> {
        let authenticators = self.authenticators.unwrap_or_default();
        let stores = self.stores.unwrap_or_default();
        let named = |is_of_kind: fn(&RawAuthenticator) -> bool| {
            let of_kind = authenticators.iter().flatten().filter(|raw| is_of_kind(raw));
            of_kind.filter_map(|raw| raw.name.clone()).collect()
        };
        let names = Names { clusters: named(|raw| raw.kubernetes.is_some()), issuers: named(|raw| raw.oidc.is_some()) };
        let store_names: Vec<String> = stores.iter().flatten().filter_map(|raw| raw.name.clone()).collect();

        let server = self.server.unwrap_or_default().check(check);
        let authenticators = authenticators::check(authenticators, check);
        let administrators = self.administrators.unwrap_or_default().check(&names, check);
        let attestation = self.attestation.unwrap_or_default().check(check);
        let stores = stores::check(stores, check);
        let database = self.database.unwrap_or_default().check(check);
        let policies = self.policies.unwrap_or_default().check(&store_names, &names.clusters, check);
        policies::check_clusters(&policies, &authenticators, check);
        let tickets = self.tickets.unwrap_or_default().check(database.as_ref().map(|database| &database.url), check);
        let limits = self.limits.unwrap_or_default().check(check);
        let audit = self.audit.unwrap_or_default().check(check);
        let telemetry = self.telemetry.unwrap_or_default().check(check);
        let vault_api = self.vault_api.unwrap_or_default().check(check);
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

/// Whether a fault is only a consequence of a removed value: it is at the same place, at one below it, or in the
/// entry that contains it.
fn follows(fault: &Fault, cause: &Fault) -> bool {
    let below = fault.pointer.strip_prefix(&cause.pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let parent =
        cause.pointer.rsplit_once('/').is_some_and(|(parent, _)| !parent.is_empty() && parent == fault.pointer);
    !cause.pointer.is_empty() && (below || parent)
}

/// Sorts by place, and adds the variables that set the values.
fn with_variables(mut faults: Vec<Fault>, overrides: &[Override]) -> Vec<Fault> {
    for fault in &mut faults {
        if let Some(one) = overrides.iter().find(|one| one.pointer == fault.pointer) {
            fault.detail = format!("{} (set by {})", fault.detail, one.variable);
        }
    }
    faults.sort();
    faults.dedup();
    faults
}
