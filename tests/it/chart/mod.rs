//! The Helm chart: rendered for several values, each object checked against the Kubernetes schema of its kind, and
//! its pod started as by a kubelet.

mod admission;
#[cfg(feature = "csi")]
mod csi;
mod kubelet;
mod objects;
mod pods;
mod refusals;
pub mod rendered;

use std::path::{Path, PathBuf};

/// The value sets in `ci/`.
const SETS: [&str; 7] = ["default", "sqlite", "postgres", "bare", "openshift", "clouds", "csi"];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/claviger")
}

fn value_set(name: &str) -> PathBuf {
    chart().join(format!("ci/{name}-values.yaml"))
}
