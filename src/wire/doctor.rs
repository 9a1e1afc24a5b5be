//! The report of `claviger doctor`.

use serde::{Deserialize, Serialize};

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// True if all checks passed.
    pub ok: bool,
    /// The checks. Each may depend on earlier ones.
    pub checks: Vec<DoctorCheck>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorCheck {
    /// What was checked, for example `store vault: login`.
    pub name: String,
    /// False if the check failed.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// How to mend a failed check; null for a passed one.
    pub advice: Option<String>,
}

impl DoctorCheck {
    /// A passed check.
    pub fn passed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, detail: detail.into(), advice: None }
    }

    /// A failed check, with one line of advice.
    pub fn failed(name: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), ok: false, detail: detail.into(), advice: Some(advice.into()) }
    }
}
