//! `claviger dev` without other components.

use crate::rig::claviger::{Claviger, run};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[test]
fn the_two_lines_it_prints_fetch_a_secret_once() {
    let claviger = Claviger::sample();
    let said = claviger.printed_commands();
    let line = |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    // Both printed commands, then the second one again.
    let script = format!("set -e; {}; {}; {} || echo \"exit $?\"", line("URL="), line("curl "), line("curl "));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let (printed, complained) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(printed.contains("export GITHUB_TOKEN='sample-github-token'\n"), "{printed}\n{complained}");
    assert!(printed.ends_with("# claviger: 3 keys\nexit 22\n"), "{printed}");
    assert!(complained.contains("410"), "{complained}");
    assert!(said.contains("not for production"), "{said}");
}

#[test]
fn another_branch_has_nothing_and_another_repo_is_denied() {
    let claviger = Claviger::sample();
    let answer = claviger.download(&claviger.ticket("moreira.dev", "feature/x"));
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    let answer = claviger.ask(&claviger.token("token"), "repo=other&branch=main");
    assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
    let answer = claviger.ask(&claviger.token("admin-token"), "repo=moreira.dev&branch=main");
    assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
}

#[test]
fn its_files_are_readable_by_their_owner_only() {
    let claviger = Claviger::sample();
    for name in ["token", "admin-token", "secrets.yaml", "claviger.db.key"] {
        let mode = std::fs::metadata(claviger.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::read_to_string(claviger.folder.path().join(".gitignore")).unwrap(), "*\n");
}

#[test]
fn an_address_in_use_is_reported() {
    let claviger = Claviger::sample();
    let state = tempfile::tempdir().unwrap();
    let (code, _, said) = run(&[
        "dev",
        "--listen",
        &claviger.api.to_string(),
        "--ops-listen",
        "127.0.0.1:0",
        "--state",
        state.path().to_str().unwrap(),
    ]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot listen on"), "{said}");
}
