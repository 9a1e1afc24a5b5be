//! Values that no variable can hold, and bundles too large for an environment: the error names the key, and the
//! ticket is not redeemed.

use super::exec;
use super::replaced::policy;
use crate::fetch::{CommandOutput, command, run_command};
use crate::rig::claviger::{Claviger, Dev};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::process::Command;

/// The kernel's limit for one string, with its NUL.
const MAX_ARG_STRLEN: usize = 128 * 1024;

fn claviger(secrets: &Value) -> Claviger {
    Claviger::dev(&Dev { secrets: Some(json!({"homelab/moreira.dev/main": secrets})), ..Dev::default() })
}

fn run(claviger: &Claviger, arguments: &[&str]) -> CommandOutput {
    run_command(&mut exec(claviger, arguments))
}

fn redeemed(claviger: &Claviger) -> usize {
    claviger.audit_events().iter().filter(|event| event["type"] == "ticket.redeemed").count()
}

#[test]
fn a_value_too_large_for_a_variable_is_named_before_the_ticket_is_redeemed() {
    let longest = "x".repeat(MAX_ARG_STRLEN - "BIG=".len() - 1);
    let claviger = self::claviger(&json!({"BIG": longest, "SMALL": "y"}));
    let length = run(&claviger, &["--", "sh", "-c", "echo ${#BIG}"]);
    assert_eq!((length.code, length.text()), (Some(0), format!("{}\n", longest.len()).as_str()), "{}", length.stderr);

    let longer = format!("{longest}x");
    assert!(Command::new("true").env("BIG", &longer).status().is_err(), "the kernel accepts the value");
    let claviger = self::claviger(&json!({"BIG": longer, "SMALL": "y"}));
    for mask in [&["--"][..], &["--mask", "--"], &["--only", "BIG,SMALL", "--"]] {
        run(&claviger, &[mask, &["true"]].concat()).assert_failed(125, "claviger: BIG is too long for a variable");
    }
    assert_eq!(redeemed(&claviger), 0, "a ticket was redeemed");

    // Values that do not go into the environment can have any length.
    assert_eq!(run(&claviger, &["--only", "SMALL", "--", "sh", "-c", "echo $SMALL"]).text(), "y\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big");
    let to_file = format!("BIG={}", file.display());
    let shown = run(&claviger, &["--file", &to_file, "--", "sh", "-c", "echo $SMALL$BIG"]);
    assert_eq!((shown.code, shown.text()), (Some(0), "y\n"), "{}", shown.stderr);
    assert_eq!(std::fs::read_to_string(file).unwrap(), longer);
}

#[test]
fn a_bundle_too_large_for_the_environment_is_reported_with_its_largest_key() {
    let claviger = claviger(&json!({"A": "x".repeat(50_000), "B": "x".repeat(60_000), "C": "x".repeat(50_000)}));
    // A quarter of the stack's limit, and at least 128 KiB.
    let limited = |arguments: &[&str]| {
        let whole = exec(&claviger, arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -s 512 && exec \"$@\"", "sh"]).arg(whole.get_program()).args(whole.get_args());
        run_command(&mut shell)
    };
    limited(&["--", "true"]).assert_failed(125, "B takes the most");
    assert_eq!(redeemed(&claviger), 0, "a ticket was redeemed");
    let some = limited(&["--only", "A", "--", "true"]);
    assert_eq!((some.code, some.stderr.as_str()), (Some(0), ""));
    let all = run(&claviger, &["--", "true"]);
    assert_eq!((all.code, all.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_dash_is_not_a_file_name_for_keys() {
    let claviger = claviger(&json!({"A": "x"}));
    let mut dash = command("exec");
    let server = format!("http://{}", claviger.api);
    dash.args(["--server", &server, "--token-file"]).arg(claviger.folder.path().join("token"));
    dash.args(["--repo", "moreira.dev", "--branch", "main", "--file", "A=-", "--", "true"]);
    run_command(&mut dash).assert_failed(125, "--file: -: ");
    assert_eq!(claviger.audit_events().len(), 0);
}

#[test]
fn the_decoded_length_of_a_base64_value_counts() {
    // As base64 text it is longer than a variable can be.
    let decoded = "x".repeat(110_000);
    let encoded = STANDARD.encode(&decoded);
    assert!(encoded.len() > MAX_ARG_STRLEN);
    let secrets = json!({"homelab/moreira.dev/main": {"BIG": encoded}});
    let policies = [("sample", policy(&json!({"encoding": "base64"})))];
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), policies: &policies, ..Dev::default() });
    let ran = run(&claviger, &["--", "sh", "-c", "echo ${#BIG}"]);
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "110000\n", ""));
}
