//! `claviger fetch`: downloads, refusals and faults.

pub mod fake;
mod hostile;
mod retries;
mod tls;
mod walk;

use crate::rig::claviger::{Claviger, binary};
use std::path::Path;
use std::process::{Command, Stdio};

/// The result of a command.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl CommandOutput {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Checks that it failed with this code, one line with these words, and nothing on standard output.
    pub fn assert_failed(&self, code: i32, words: &str) {
        assert_eq!((self.code, self.text()), (Some(code), ""), "{words}: {self:?}");
        assert!(self.stderr.contains(words) && self.stderr.lines().count() == 1, "{words}: {self:?}");
    }
}

/// A command as in a build pod: with a time limit and without Claviger's variables in its environment.
pub fn command(name: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60"]).arg(binary()).arg(name);
    for variable in [
        "CLAVIGER_URL",
        "CLAVIGER_TOKEN_FROM",
        "CLAVIGER_TOKEN_FILE",
        "CLAVIGER_AUDIENCE",
        "CLAVIGER_CA_FILE",
        "CLAVIGER_INSECURE",
    ] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs it until it ends.
pub fn run_command(command: &mut Command) -> CommandOutput {
    let output = command.output().unwrap();
    CommandOutput {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `claviger fetch` at a server, with a token in a file.
pub fn fetch(server: &str, token: &Path, arguments: &[&str]) -> CommandOutput {
    run_command(command("fetch").args(["--server", server, "--token-file"]).arg(token).args(arguments))
}

/// `claviger fetch` as the sample caller of `claviger dev`.
pub fn fetch_sample(claviger: &Claviger, arguments: &[&str]) -> CommandOutput {
    fetch(&format!("http://{}", claviger.api), &claviger.folder.path().join("token"), arguments)
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
