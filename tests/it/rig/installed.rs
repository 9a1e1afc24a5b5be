//! The programs of `rig/install`, and where they are.

use std::path::PathBuf;

/// The folder that `rig/install` writes: `CLAVIGER_RIG`, or `claviger-rig` in the user's cache.
pub fn folder() -> PathBuf {
    variable("CLAVIGER_RIG")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("claviger-rig")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/claviger-rig")))
        .expect("HOME, XDG_CACHE_HOME or CLAVIGER_RIG is set")
}

/// The path of a program; fails the test if it is not installed.
pub fn program(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|why| panic!("{why}"))
}

/// The path of a program.
pub fn find_program(name: &str) -> Result<PathBuf, String> {
    existing(folder().join("bin").join(name), "run rig/install")
}

/// The path of a program of the control plane, which `KUBEBUILDER_ASSETS` can replace.
pub fn find_control_plane_program(name: &str) -> Result<PathBuf, String> {
    let programs = variable("KUBEBUILDER_ASSETS").unwrap_or_else(|| folder().join("bin"));
    existing(programs.join(name), "run rig/install, or set KUBEBUILDER_ASSETS")
}

fn existing(path: PathBuf, advice: &str) -> Result<PathBuf, String> {
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing: {advice}", path.display())) }
}

#[expect(clippy::disallowed_methods, reason = "the environment says where the rig is, as in rig/install")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
