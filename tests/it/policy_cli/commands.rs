//! `list`, `get`, `apply`, `delete` and `explain` on a real server, each with an authorised and an unauthorised
//! user.

use super::{Shell, policy, write, yaml};
use crate::rig::claviger::Claviger;
use serde_json::Value;

fn admin(claviger: &Claviger) -> Shell<'_> {
    Shell { claviger, token: "admin-token" }
}

fn build(claviger: &Claviger) -> Shell<'_> {
    Shell { claviger, token: "token" }
}

#[test]
fn policies_are_applied_listed_printed_and_deleted() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let file = write(folder, "two.yml", &(yaml("a", "site") + "---\n" + &yaml("b", "shop"))).display().to_string();
    let token = claviger.token("token");
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 403);

    let (code, printed, said) = shell.policy(&["apply", "-f", &file, "--dry-run"]);
    assert_eq!((code, printed.as_str(), said.as_str()), (Some(0), "a: would be created\nb: would be created\n", ""));
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 403, "a dry run changes nothing");
    let (code, printed, said) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, printed.as_str(), said.as_str()), (Some(0), "a: created\nb: created\n", ""));
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 201);

    let revision = |name: &str| {
        let (_, printed, _) = shell.policy(&["get", name, "-o", "json"]);
        serde_json::from_str::<Value>(&printed).unwrap()["revision"].as_str().unwrap().to_owned()
    };
    let before = (revision("a"), revision("b"));
    write(folder, "two.yml", &(yaml("a", "site") + "---\n" + &yaml("b", "shop/*")));
    let (code, printed, _) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, printed.as_str()), (Some(0), "a: unchanged\nb: updated\n"));
    assert_eq!(revision("a"), before.0, "what is the same is left alone");
    assert_ne!(revision("b"), before.1);

    let (code, printed, _) = shell.policy(&["list"]);
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, &rows[0]), (Some(0), &vec!["NAME", "EFFECT", "MODE", "SOURCE", "UPDATED", "BY"]));
    let starts: Vec<_> = rows[1..].iter().map(|row| row[..4].join(" ")).collect();
    assert_eq!(starts, ["a allow enforce api", "b allow enforce api", "sample allow enforce file"]);
    let (_, printed, _) = shell.policy(&["list", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["items"].as_array().unwrap().len(), 3);

    let (code, printed, said) = shell.policy(&["delete", "a"]);
    assert_eq!((code, printed.as_str(), said.as_str()), (Some(0), "a: deleted\n", ""));
    assert_eq!(claviger.ask(&token, "repo=site&branch=main").status, 403);
    let (code, printed, said) = shell.policy(&["delete", "a"]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(said.starts_with("claviger: not_found: The resource does not exist. [request "), "{said}");
    assert_eq!(shell.policy(&["get", "a"]).0, Some(1));
}

#[test]
fn what_is_printed_can_be_applied() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let hostile = yaml("odd", "yes")
        .replace("spec:\n", "spec:\n  description: \"a: - #\\t\\\"'\\\\ \\u202e no\\nyes\\n\"\n  condition: 'true'\n");
    let odd = write(folder, "odd.yml", &(hostile + "---\n" + &yaml("even", "1e3"))).display().to_string();
    assert_eq!(shell.policy(&["apply", "-f", &odd]).0, Some(0));
    let (code, one, _) = shell.policy(&["get", "odd"]);
    assert_eq!(code, Some(0));
    let (_, all, _) = shell.policy(&["list", "-o", "yaml"]);
    assert!(all.contains(&one), "{all}\n{one}");
    let file = write(folder, "all.yml", &all).display().to_string();
    let (code, printed, said) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{all}");
    assert_eq!(printed, "even: unchanged\nodd: unchanged\nsample: unchanged\n");
    // A different text for a policy of the server's directory is refused.
    let file = write(folder, "sample.yml", &yaml("sample", "other")).display().to_string();
    let (code, printed, said) = shell.policy(&["apply", "-f", &file]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(said.starts_with("claviger: read_only: "), "{said}");
}

#[test]
fn nothing_is_written_while_anything_is_wrong() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let good = write(folder, "good.yml", &yaml("good", "site")).display().to_string();
    let wrong = yaml("a", "a**").replace("local", "nowhere") + "---\n" + &yaml("b", "[");
    let bad = write(folder, "bad.yml", &wrong).display().to_string();
    let (code, printed, said) = shell.policy(&["apply", "-f", &good, "-f", &bad]);
    assert_eq!((code, printed.as_str()), (Some(1), ""), "{said}");
    for place in [
        "bad.yml, document 1: invalid_policy",
        "1: spec.repos[0]: ",
        "1: spec.secrets[0].store: ",
        "2: spec.repos[0]: ",
        "nothing was written",
    ] {
        assert!(said.contains(place), "{place}\n{said}");
    }
    assert_eq!(shell.policy(&["get", "good"]).0, Some(1));
    assert_eq!(shell.policy(&["apply", "-f", &good]).0, Some(0));
    assert_eq!(shell.policy(&["get", "good"]).0, Some(0));
}

#[test]
fn explain_tells_what_every_policy_says() {
    let claviger = Claviger::sample();
    let shell = admin(&claviger);
    let folder = claviger.folder.path();
    let caller = write(folder, "caller.yml", "{issuer: dev, claims: {role: build}}").display().to_string();
    let token = folder.join("token").display().to_string();
    for who in [["--caller-file", &caller], ["--caller-token-file", &token]] {
        let ask = |repo: &str| shell.policy(&[&["explain", "--repo", repo, "--branch", "main"], &who[..]].concat());
        let (code, printed, said) = ask("moreira.dev");
        assert_eq!((code, said.as_str()), (Some(0), ""));
        assert_eq!(printed, "allowed: granted\n  reads local:homelab/moreira.dev/main (keys **)\n  sample matches\n");
        let (code, printed, _) = ask("other");
        assert_eq!(code, Some(0), "that the answer is no is no failure");
        assert_eq!(printed, "denied: no_policy_matches\n  sample does not match: repos: no pattern matches\n");
        let (code, _, said) = ask("..");
        assert_eq!(code, Some(1));
        assert!(said.starts_with("claviger: invalid_repo: "), "{said}");
    }
    let (_, printed, _) =
        shell.policy(&["explain", "--caller-file", &caller, "--repo", "other", "--branch", "b", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["allowed"], false);
    for wrong in [&[][..], &["--caller-file", &caller, "--caller-token-file", &token]] {
        assert_eq!(shell.policy(&[&["explain", "--repo", "a", "--branch", "b"], wrong].concat()).0, Some(2));
    }
}

#[test]
fn who_may_not_administer_is_denied_everything() {
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
    let stranger = Shell { claviger: &claviger, token: "strange-token" };
    for command in commands {
        let (code, printed, said) = build(&claviger).policy(command);
        assert_eq!((code, printed.as_str()), (Some(3), ""), "{said}");
        assert!(said.starts_with("claviger: denied: The request is not allowed. [request "), "{said}");
        let (code, printed, said) = stranger.policy(command);
        assert_eq!((code, printed.as_str()), (Some(3), ""));
        assert!(said.starts_with("claviger: unauthenticated: ") && !said.contains("hunter2"), "{said}");
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
        let (code, printed, said) = policy(&["list", "--server", &server, "--token-file", &token]);
        assert_eq!((code, printed.as_str()), (Some(4), ""), "{said}");
        assert!(said.starts_with("claviger: the server cannot be reached: ") && !said.contains("a.b.c"), "{said}");
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
    let shell = Shell { claviger: &claviger, token: "admin-token" };
    let (code, text, said) = shell.policy(&["get", "piped"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(text.contains("piped"), "{text}");
    let output = apply.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
