//! Whether the files that a configuration names are good, without asking anybody: `claviger check`.

use super::start::line;
use super::tls::Certificate;
use super::{authenticators, keys, policies};
use crate::config::Config;
use std::path::PathBuf;

/// A configuration that can be served.
pub struct Checked {
    /// How many policies there are.
    pub policies: usize,
    /// What works and should be otherwise, as lines for a person.
    pub warnings: Vec<String>,
}

/// Reads the policies, the certificate, kubeconfigs and key files.
///
/// # Errors
/// Every fault in them, as a line for a person.
pub fn check_offline(config: &Config) -> Result<Checked, Vec<String>> {
    let found = authenticators::look(config);
    let mut faults: Vec<String> = found.faults.iter().map(line).collect();
    let certificate = config.server.tls.clone().map(|files| Certificate::open(files, None)).transpose();
    faults.extend(certificate.err().map(|error| format!("server.tls: {error}")));
    faults.extend(key_faults(config));
    match policies::check(config) {
        Ok(policies) if faults.is_empty() => {
            Ok(Checked { policies, warnings: found.warnings.iter().map(line).collect() })
        }
        policies => {
            faults.extend(policies.err().into_iter().flatten());
            Err(faults)
        }
    }
}

/// Key files that hold no key.
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
