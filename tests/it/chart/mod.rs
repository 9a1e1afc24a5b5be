//! The Helm chart: rendered for several values, each object checked against the Kubernetes schema of its kind, and
//! its pod started as by a kubelet.

mod admission;
mod kubelet;
mod objects;
mod pods;
mod refusals;
pub mod rendered;

use std::path::{Path, PathBuf};

/// The value sets in `ci/`.
const SETS: [&str; 6] = ["default", "sqlite", "postgres", "bare", "openshift", "clouds"];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/claviger")
}

fn set(name: &str) -> PathBuf {
    chart().join(format!("ci/{name}-values.yaml"))
}
