//! `claviger policy`: effect, output and exit code of each command.

mod commands;
mod diff;
mod hostile;
mod policy_test;

use crate::rig::claviger::{Claviger, run};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs `claviger policy` to its end: exit code, standard output, standard error.
fn policy(arguments: &[&str]) -> (Option<i32>, String, String) {
    run(&[&["policy"], arguments].concat())
}

/// A user of the command line, with a token in a file.
struct CliUser<'a> {
    claviger: &'a Claviger,
    token: &'a str,
}

impl CliUser<'_> {
    /// Runs a command on the server.
    fn policy(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let url = format!("http://{}", self.claviger.api);
        let token = self.claviger.folder.path().join(self.token).display().to_string();
        policy(&[arguments, &["--server", &url, "--token-file", &token]].concat())
    }
}

/// Writes a file and returns its path.
fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}

/// A YAML manifest that allows the sample caller of `claviger dev` a repo's secrets.
fn yaml(name: &str, repo: &str) -> String {
    format!(
        "apiVersion: claviger.dev/v1alpha1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n  subjects: [{{oidc: {{issuer: dev, \
         claims: {{role: build}}}}}}]\n  repos: [\"{repo}\"]\n  branches: [\"**\"]\n  secrets: [{{store: local, path: \
         \"homelab/{{repo}}/{{branch}}\"}}]\n"
    )
}
