//! Whether the files that a configuration names are good, without asking anybody: `claviger check`.

use super::policies;
use super::tls::Certificate;
use crate::config::Config;

/// Reads the policies and the certificate, and says how many policies there are.
///
/// # Errors
/// Every fault in them, as a line for a person.
pub fn check_offline(config: &Config) -> Result<usize, Vec<String>> {
    let certificate = config.server.tls.clone().map(|files| Certificate::open(files, None)).transpose();
    let certificate_fault = certificate.err().map(|error| format!("server.tls: {error}"));
    match (policies::check(config), certificate_fault) {
        (Ok(count), None) => Ok(count),
        (policies, fault) => Err(fault.into_iter().chain(policies.err().into_iter().flatten()).collect()),
    }
}
