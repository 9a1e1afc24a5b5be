//! `claviger exec`: replacing the process, and running a child.

mod masked;
mod replaced;
mod size;

use crate::fetch::{CommandOutput, command, run_command};
use crate::rig::claviger::Claviger;
use std::process::Command;

/// `claviger exec` as the sample caller of `claviger dev` for its `main`, up to the command.
fn exec(claviger: &Claviger, arguments: &[&str]) -> Command {
    let mut command = command("exec");
    command.args(["--server", &format!("http://{}", claviger.api), "--token-file"]);
    command.arg(claviger.folder.path().join("token"));
    command.args(["--repo", "moreira.dev", "--branch", "main"]).args(arguments);
    command
}

fn run(claviger: &Claviger, arguments: &[&str]) -> CommandOutput {
    run_command(&mut exec(claviger, arguments))
}
