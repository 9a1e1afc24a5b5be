//! `claviger policy test`: cases against policy files, without a server.

use super::{policy, write, yaml};
use serde_json::json;
use std::fs;
use std::path::Path;

const DOCUMENTATION: &str = include_str!("../../../docs/POLICY.md");

fn test(path: &Path) -> (Option<i32>, String, String) {
    policy(&["test", &path.display().to_string()])
}

/// The code block of the documentation that contains this text.
fn block(language: &str, text: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut blocks = DOCUMENTATION.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(text)).unwrap()
}

fn documented() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["web-sites", "no-bots"] {
        write(folder.path(), &format!("{name}.yaml"), block("yaml", &format!("metadata: {{name: {name}}}")));
    }
    write(folder.path(), "sites.test.yaml", block("yml", "cases:"));
    folder
}

#[test]
fn the_documented_cases_pass() {
    let folder = documented();
    let (code, stdout, stderr) = test(&folder.path().join("sites.test.yaml"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("sites.test.yaml: main of a site reads three secrets\n"), "{stdout}");
    assert!(stdout.ends_with("\n2 passed, 0 failed\n"), "{stdout}");
    // For a directory, its test files run, with the policies of the same folder.
    let text = block("yml", "cases:");
    write(folder.path(), "sites.test.yaml", &text[text.find("cases:").unwrap()..]);
    assert_eq!(test(folder.path()), (code, stdout, stderr));
}

#[test]
fn a_failed_case_prints_the_actual_result() {
    let folder = documented();
    // One policy without a secret, and one that admits the bots.
    let weaker = block("yaml", "{name: no-bots}").replace("\"renovate/**\"", "\"nothing/**\"");
    write(folder.path(), "no-bots.yaml", &weaker);
    let fewer = block("yaml", "{name: web-sites}").replace("    - {store: vault, path: homelab/shared}\n", "");
    write(folder.path(), "web-sites.yaml", &fewer);
    let (code, stdout, stderr) = test(folder.path());
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    assert!(stdout.contains("expected denied, got allowed: granted\n"), "{stdout}");
    assert!(stdout.contains("expected secrets [vault:homelab/shared, vault:homelab/moreira.dev/default, "), "{stdout}");
    assert!(stdout.contains("], got [vault:homelab/moreira.dev/default, "), "{stdout}");
    assert!(stdout.contains("no-bots does not match: branches: no pattern matches\n"), "{stdout}");
    assert!(stdout.ends_with("\n0 passed, 2 failed\n"), "{stdout}");
}

/// A policy with every condition on a caller, and a case that matches it.
fn whole() -> (String, serde_json::Value) {
    let policy = "apiVersion: claviger.dev/v1alpha1\nkind: Policy\nmetadata: {name: whole}\nspec:\n  subjects: \
                  [{kubernetes: {namespaces: [ci], serviceAccounts: [bot]}}]\n  repos: [site]\n  branches: [main]\n  \
                  attest: {repo: 'caller.pipelineRun.params[\"repo\"]', branch: 'caller.pod.labels.branch'}\n  \
                  condition: 'request.time.getHours() == 7 && request.sourceIp == \"10.0.0.1\" && \"g\" in caller.groups'\n  \
                  secrets: [{store: anything, path: 'homelab/{repo}/{branch}'}]\n  ticket: {ttl: 900h}\n";
    let case = json!({
        "name": "whole", "time": "2026-11-20T07:00:00Z", "sourceIp": "10.0.0.1",
        "caller": {
            "namespace": "ci", "serviceAccount": "bot", "groups": ["g"],
            "pod": {"name": "p", "uid": "u", "labels": {"branch": "main"}}, "pipelineRun": {"params": {"repo": "site"}},
        },
        "expect": {"allowed": true, "secrets": ["anything:homelab/site/main"]},
    });
    (policy.to_owned(), case)
}

#[test]
fn a_case_describes_all_that_a_decision_can_see() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, case) = whole();
    write(folder.path(), "whole.yaml", &policy);
    let outcome = |case: &serde_json::Value| {
        let file = write(folder.path(), "whole.test.yaml", &json!({"cases": [case]}).to_string());
        test(&file)
    };
    let (code, stdout, stderr) = outcome(&case);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for (pointer, value) in [
        ("/time", json!("2026-11-20T08:00:00Z")),
        ("/sourceIp", json!("10.0.0.2")),
        ("/caller/groups", json!([])),
        ("/caller/namespace", json!("other")),
        ("/caller/pod/labels/branch", json!("dev")),
        ("/caller/pipelineRun/params/repo", json!("shop")),
        ("/expect/allowed", json!(false)),
        ("/expect/secrets/0", json!("other:homelab/site/main")),
    ] {
        let mut other = case.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        if pointer == "/expect/allowed" {
            other["expect"].as_object_mut().unwrap().remove("secrets");
        }
        let (code, stdout, _) = outcome(&other);
        assert_eq!(code, Some(1), "{pointer}: {stdout}");
    }
    let mut denied = case.clone();
    denied["branch"] = json!("dev");
    denied["expect"] = json!({"allowed": false, "reason": "attestation_failed"});
    assert_eq!(outcome(&denied).0, Some(0));
    denied["expect"]["reason"] = json!("no_policy_matches");
    let (code, stdout, _) = outcome(&denied);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("expected reason no_policy_matches, got attestation_failed\n"), "{stdout}");
}

#[test]
fn every_fault_of_every_file_is_reported_and_no_case_runs() {
    let folder = documented();
    write(folder.path(), "bad.yaml", &(yaml("a", "a**") + "---\n" + &yaml("b", "b").replace("repos", "repoes")));
    let bad = json!({
        "policies": ["bad.yaml", "missing.yaml"],
        "surprise": 1,
        "cases": [
            {"caller": {"namespace": "ci"}, "repo": "..", "branch": "-x", "time": "noon", "sourceIp": "here", "expect": {}},
            {"name": "n", "caller": {"issuer": "dev"}, "expect": {"allowed": true, "reason": "hunter2"}},
            {"name": "o", "caller": {"issuer": "dev"}, "expect": {"allowed": false, "secrets": ["a:b", null]}},
            {"name": "o", "caller": {"issuer": "dev", "hunter2": 1}, "expect": {"allowed": "hunter2"}},
            null,
        ],
    });
    write(folder.path(), "bad.test.yaml", &bad.to_string());
    write(
        folder.path(),
        "policies.test.yaml",
        &json!({"policies": ["bad.yaml", "missing.yaml"], "cases": [
        {"name": "n", "caller": {"issuer": "dev"}, "expect": {"allowed": false}}]})
        .to_string(),
    );
    let (code, stdout, stderr) = test(folder.path());
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    for place in [
        "bad.test.yaml: surprise: ",
        "cases[0].name: is missing",
        "cases[0].caller: ",
        "cases[0].repo: ",
        "cases[0].branch: ",
        "cases[0].time: ",
        "cases[0].sourceIp: ",
        "cases[0].expect.allowed: is missing",
        "cases[1].expect.reason: ",
        "cases[2].expect.secrets: ",
        "cases[2].expect.secrets[1]: ",
        "cases[3].expect.allowed: ",
        "cases[4]: ",
        "bad.yaml, document 1: spec.repos[0]: ",
        "bad.yaml, document 2: spec.repoes: unknown key",
        "missing.yaml: cannot be read: ",
    ] {
        assert!(stderr.contains(place), "{place}\n{stderr}");
    }
    assert!(!stderr.contains("hunter2: must") && !stderr.contains("\"hunter2\""), "{stderr}");
}

#[test]
fn an_unknown_field_hides_no_other_fault() {
    let folder = tempfile::tempdir().unwrap();
    let spec = "  subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [bot]}}]\n  repos: [site]\n  branches: [main]\n  \
                condition: 'request.branch == \"main\"'\n  secrets: [{store: vault, path: homelab/x}]\n";
    let valid = format!("apiVersion: claviger.dev/v1alpha1\nkind: Policy\nmetadata: {{name: a}}\nspec:\n{spec}");
    let invalid = valid
        .replace("repos: [site]", "repos: ['[']\n  bogus: 1")
        .replace("[main]", "[]")
        .replace("'request.branch == \"main\"'", "'1'")
        .replace("homelab/x", "sys/x");
    let resource = |text: &str| text.replace("{name: a}", "{name: a, namespace: ci}").replace("namespaces: [ci], ", "");
    let case = json!({"name": "n", "caller": {"namespace": "ci", "serviceAccount": "bot", "pod": {"name": "p", "uid": "u"}},
        "repo": "site", "branch": "main", "expect": {"allowed": true}});
    write(folder.path(), "a.test.yaml", &json!({"cases": [case]}).to_string());
    for (valid, invalid) in [(valid.clone(), invalid.clone()), (resource(&valid), resource(&invalid))] {
        write(folder.path(), "a.yaml", &valid);
        let (code, printed, said) = test(folder.path());
        assert_eq!((code, said.as_str()), (Some(0), ""), "{printed}");
        let file = write(folder.path(), "a.yaml", &invalid).display().to_string();
        let (code, printed, said) = test(folder.path());
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
        let keys: Vec<&str> = said.lines().filter_map(|line| line.split(": ").nth(1)).collect();
        let expected = ["spec.bogus", "spec.repos[0]", "spec.branches", "spec.condition", "spec.secrets[0].path"];
        assert_eq!(keys, expected, "{said}");
        // No server is needed to find them.
        let token = write(folder.path(), "token", "t").display().to_string();
        let nobody = ["--server", "http://127.0.0.1:9", "--token-file", &token];
        for command in ["diff", "apply"] {
            let (code, printed, found) = policy(&[&[command, "--file", &file][..], &nobody].concat());
            assert_eq!((code, printed.as_str()), (Some(2), ""), "{command}: {found}");
            assert!(said.lines().all(|line| found.lines().any(|other| other == line)), "{command}: {found}");
        }
    }
}

#[test]
fn a_configuration_bounds_the_policies() {
    let folder = documented();
    fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    fs::write(folder.path().join("jwks.json"), "{\"keys\": []}").unwrap();
    let config = |store: &str, ceiling: &str| {
        let text = json!({
            "server": {"listen": "127.0.0.1:0"},
            "authenticators": [{"name": "dev", "oidc": {"issuer": "https://dev.claviger.invalid", "audience": "claviger", "jwksFile": "jwks.json"}}],
            "stores": [{"name": store, "file": {"path": "secrets.yaml"}}],
            "database": {"url": "sqlite://claviger.db"},
            "policies": {"ceiling": [{"store": store, "pathPrefix": ceiling}]},
        });
        write(folder.path(), "claviger.yml", &text.to_string()).display().to_string()
    };
    let tests = folder.path().join("sites.test.yaml").display().to_string();
    let run = |config: String| policy(&["test", "--config", &config, &tests]);
    let (code, stdout, stderr) = run(config("vault", "homelab"));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for (store, ceiling, expected) in [
        ("other", "homelab", "secrets[0].store: must be the name of a configured store"),
        ("vault", "elsewhere", "secrets[0].path: lies outside the ceiling"),
    ] {
        let (code, _, stderr) = run(config(store, ceiling));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
    let (code, _, stderr) = run("/no/such/file".into());
    assert_eq!(code, Some(2), "{stderr}");
}

#[test]
fn a_run_without_cases_fails() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.test.yaml");
    for (text, expected) in [
        (None, "cannot be read"),
        (Some(""), "none.test.yaml: "),
        (Some("cases: []"), "cases: must have at least one case"),
        (
            Some("cases: [{name: a, caller: {issuer: dev}, expect: {allowed: false}}]"),
            "there is no policy file beside it",
        ),
        (
            Some("policies: []\ncases: [{name: a, caller: {issuer: dev}, expect: {allowed: false}}]"),
            "policies: must name",
        ),
        (Some("policies: ["), "not well-formed"),
        (Some("[1]"), "must be a map"),
    ] {
        if let Some(text) = text {
            fs::write(&none, text).unwrap();
        }
        let (code, stdout, stderr) = test(&none);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{text:?} {stderr}");
        assert!(stderr.contains(expected), "{text:?} {stderr}");
    }
    fs::remove_file(&none).unwrap();
    let (code, _, stderr) = test(folder.path());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("has no *.test.yaml"), "{stderr}");
    assert_eq!(policy(&["test"]).0, Some(2));
}
