//! `list`, `get`, `apply`, `delete` and `explain` on a real server, each with an authorised and an unauthorised
//! user.

use super::{CliUser, policy, write, yaml};
use crate::rig::claviger::Claviger;
use serde_json::Value;

fn admin(claviger: &Claviger) -> CliUser<'_> {
    CliUser { claviger, token: "admin-token" }
}

fn build(claviger: &Claviger) -> CliUser<'_> {
    CliUser { claviger, token: "token" }
}

#[test]
fn policies_are_applied_listed_printed_and_deleted() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let file = write(folder, "two.yml", &(yaml("a", "site") + "---\n" + &yaml("b", "shop"))).display().to_string();
    let token = claviger.token("token");
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 403);

    let (code, stdout, stderr) = shell.policy(&["apply", "-f", &file, "--dry-run"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "a: would be created\nb: would be created\n", ""));
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 403, "a dry run changes nothing");
    let (code, stdout, stderr) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "a: created\nb: created\n", ""));
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 201);

    let revision = |name: &str| {
        let (_, stdout, _) = shell.policy(&["get", name, "-o", "json"]);
        serde_json::from_str::<Value>(&stdout).unwrap()["revision"].as_str().unwrap().to_owned()
    };
    let before = (revision("a"), revision("b"));
    write(folder, "two.yml", &(yaml("a", "site") + "---\n" + &yaml("b", "shop/*")));
    let (code, stdout, _) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, stdout.as_str()), (Some(0), "a: unchanged\nb: updated\n"));
    assert_eq!(revision("a"), before.0, "an unchanged policy is not written");
    assert_ne!(revision("b"), before.1);

    let (code, stdout, _) = shell.policy(&["list"]);
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, &rows[0]), (Some(0), &vec!["NAME", "EFFECT", "MODE", "SOURCE", "UPDATED", "BY"]));
    let starts: Vec<_> = rows[1..].iter().map(|row| row[..4].join(" ")).collect();
    assert_eq!(starts, ["a allow enforce api", "b allow enforce api", "sample allow enforce file"]);
    let (_, stdout, _) = shell.policy(&["list", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap()["items"].as_array().unwrap().len(), 3);

    let (code, stdout, stderr) = shell.policy(&["delete", "a"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "a: deleted\n", ""));
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 403);
    let (code, stdout, stderr) = shell.policy(&["delete", "a"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("claviger: not_found: The resource does not exist. [request "), "{stderr}");
    assert_eq!(shell.policy(&["get", "a"]).0, Some(1));
}

#[test]
fn a_printed_policy_can_be_applied() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let hostile = yaml("odd", "yes").replace(
        "spec:\n",
        "spec:\n  description: \"a: - #\\t\\\"'\\\\ \\u202e \\x9b no\\nyes\\n\"\n  condition: 'true'\n",
    );
    let odd = write(folder, "odd.yml", &(hostile + "---\n" + &yaml("even", "1e3"))).display().to_string();
    assert_eq!(shell.policy(&["apply", "-f", &odd]).0, Some(0));
    let (code, one, _) = shell.policy(&["get", "odd"]);
    assert_eq!(code, Some(0));
    // A terminal would interpret these characters.
    let (_, json, _) = shell.policy(&["get", "odd", "-o", "json"]);
    assert!(![&one, &json].iter().any(|text| text.contains(['\u{202e}', '\u{9b}'])), "{one:?} {json:?}");
    let description = &serde_json::from_str::<serde_json::Value>(&json).unwrap()["spec"]["description"];
    assert_eq!(description, "a: - #\t\"'\\ \u{202e} \u{9b} no\nyes\n");
    let (_, all, _) = shell.policy(&["list", "-o", "yaml"]);
    assert!(all.contains(&one), "{all}\n{one}");
    let file = write(folder, "all.yml", &all).display().to_string();
    let (code, stdout, stderr) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{all}");
    assert_eq!(stdout, "even: unchanged\nodd: unchanged\nsample: unchanged\n");
    // A different text for a policy of the server's directory is refused.
    let file = write(folder, "sample.yml", &yaml("sample", "other")).display().to_string();
    let (code, stdout, stderr) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("claviger: read_only: "), "{stderr}");
}

#[test]
fn nothing_is_written_if_any_policy_is_invalid() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let good = write(folder, "good.yml", &yaml("good", "site")).display().to_string();
    let wrong = yaml("a", "a**").replace("local", "nowhere") + "---\n" + &yaml("b", "[");
    let bad = write(folder, "bad.yml", &wrong).display().to_string();
    let (code, stdout, stderr) = shell.policy(&["apply", "-f", &good, "-f", &bad]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    for place in [
        "bad.yml, document 1: invalid_policy",
        "1: spec.repos[0]: ",
        "1: spec.secrets[0].store: ",
        "2: spec.repos[0]: ",
        "nothing was written",
    ] {
        assert!(stderr.contains(place), "{place}\n{stderr}");
    }
    assert_eq!(shell.policy(&["get", "good"]).0, Some(1));
    assert_eq!(shell.policy(&["apply", "-f", &good]).0, Some(0));
    assert_eq!(shell.policy(&["get", "good"]).0, Some(0));
}

#[test]
fn explain_prints_the_verdict_of_every_policy() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let caller = write(folder, "caller.yml", "{issuer: dev, claims: {role: build}}").display().to_string();
    let token = folder.join("token").display().to_string();
    for who in [["--caller-file", &caller], ["--caller-token-file", &token]] {
        let ask = |repo: &str| shell.policy(&[&["explain", "--repo", repo, "--branch", "main"], &who[..]].concat());
        let (code, stdout, stderr) = ask("moreira.dev");
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(stdout, "allowed: granted\n  reads local:homelab/moreira.dev/main (keys **)\n  sample matches\n");
        let (code, stdout, _) = ask("other");
        assert_eq!(code, Some(0), "a denial is not an error of the command");
        assert_eq!(stdout, "denied: no_policy_matches\n  sample does not match: repos: no pattern matches\n");
        let (code, _, stderr) = ask("..");
        assert_eq!(code, Some(1));
        assert!(stderr.starts_with("claviger: invalid_repo: "), "{stderr}");
    }
    let (_, stdout, _) =
        shell.policy(&["explain", "--caller-file", &caller, "--repo", "other", "--branch", "b", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap()["allowed"], false);
    for wrong in [&[][..], &["--caller-file", &caller, "--caller-token-file", &token]] {
        assert_eq!(shell.policy(&[&["explain", "--repo", "a", "--branch", "b"], wrong].concat()).0, Some(2));
    }
}

#[test]
fn a_user_without_permissions_is_denied_every_command() {
    let claviger = Claviger::sample();
    let folder = claviger.folder.path();
    let file = write(folder, "a.yml", &yaml("a", "site")).display().to_string();
    let caller = write(folder, "caller.yml", "{issuer: dev}").display().to_string();
    write(folder, "strange-token", "hunter2\n");
    let commands: [&[&str]; 6] = [
        &["list"],
        &["get", "sample"],
        &["apply", "-f", &file],
        &["apply", "--dry-run", "-f", &file],
        &["delete", "sample"],
        &["explain", "--repo", "a", "--branch", "b", "--caller-file", &caller],
    ];
    let stranger = CliUser { claviger: &claviger, token: "strange-token" };
    for command in commands {
        let (code, stdout, stderr) = build(&claviger).policy(command);
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
        assert!(stderr.starts_with("claviger: denied: The request is not allowed. [request "), "{stderr}");
        let (code, stdout, stderr) = stranger.policy(command);
        assert_eq!((code, stdout.as_str()), (Some(3), ""));
        assert!(stderr.starts_with("claviger: unauthenticated: ") && !stderr.contains("hunter2"), "{stderr}");
    }
    assert_eq!(admin(&claviger).policy(&["get", "a"]).0, Some(1), "nothing was written");
    assert_eq!(admin(&claviger).policy(&["get", "sample"]).0, Some(0));
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", "a.b.c").display().to_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for server in [format!("http://{closed}"), format!("https://{closed}")] {
        let (code, stdout, stderr) = policy(&["list", "--server", &server, "--token-file", &token]);
        assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
        assert!(
            stderr.starts_with("claviger: the server cannot be reached: ") && !stderr.contains("a.b.c"),
            "{stderr}"
        );
    }
}

#[test]
fn a_dash_is_standard_input() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "policy.yaml", &yaml("piped", "other"));
    let token = claviger.folder.path().join("admin-token").display().to_string();
    let url = format!("http://{}", claviger.api);
    let mut apply = std::process::Command::new(crate::rig::claviger::binary());
    apply.args(["policy", "apply", "-f", "-", "--server", &url, "--token-file", &token]).current_dir(folder.path());
    let output = apply.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    let shell = CliUser { claviger: &claviger, token: "admin-token" };
    let (code, text, stderr) = shell.policy(&["get", "piped"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.contains("piped"), "{text}");
    let output = apply.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
