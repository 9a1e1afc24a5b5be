//! The result of `claviger doctor`.

use serde::{Deserialize, Serialize};

/// All checks of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// True if every check is.
    pub ok: bool,
    /// The checks, in the order in which they build on each other.
    pub checks: Vec<DoctorCheck>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorCheck {
    /// What was checked, for example `store vault: login`.
    pub name: String,
    /// False if it is a fault.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about a fault; null without one.
    pub advice: Option<String>,
}

impl DoctorCheck {
    /// A check that found no fault.
    pub fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, detail: detail.into(), advice: None }
    }

    /// A fault, and one line of advice.
    pub fn fault(name: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), ok: false, detail: detail.into(), advice: Some(advice.into()) }
    }
}
