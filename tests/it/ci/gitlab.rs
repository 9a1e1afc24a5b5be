//! GitLab CI: `--token-from gitlab`, and the requests of its runner for `secrets:vault`.

use super::{GITLAB, Service, gitlab_claims};
use crate::fetch::{CommandOutput, command, run_command};
use serde_json::{Value, json};

const SITE: [&str; 4] = ["--repo", "acme/site", "--branch", "main"];

/// Runs a command in a job with this id token in this variable.
fn run_job(service: &Service, name: &str, variable: &str, token: &str, arguments: &[&str]) -> CommandOutput {
    let mut command = command(name);
    command.env("GITLAB_CI", "true").env(variable, token);
    run_command(command.args(["--token-from", "gitlab", "--server", &service.url()]).args(SITE).args(arguments))
}

fn token(service: &Service, changes: &Value) -> String {
    service.issuer.token(&gitlab_claims(changes))
}

#[test]
fn the_token_is_in_the_variable_that_id_tokens_sets() {
    let service = Service::new();
    let good = token(&service, &json!({}));
    let fetched = run_job(&service, "fetch", "CLAVIGER_ID_TOKEN", &good, &[]);
    assert_eq!((fetched.code, fetched.stderr.as_str()), (Some(0), ""), "{fetched:?}");
    assert_eq!(fetched.text(), "export NPM_TOKEN='gitlab-s3cret'\n# claviger: 1 keys\n");
    let named = run_job(&service, "fetch", "VAULT_ID_TOKEN", &good, &["--token-variable", "VAULT_ID_TOKEN"]);
    assert_eq!(named.text(), fetched.text());
    let missing = run_job(&service, "fetch", "OTHER", &good, &[]);
    missing.assert_failed(2, "--token-from gitlab: CLAVIGER_ID_TOKEN is not set; the job needs `id_tokens: {CLAVIGER_ID_TOKEN: {aud: claviger}}`");
    for bad in ["", "a b", "{\"value\":\"x\"}"] {
        let ran = run_job(&service, "fetch", "CLAVIGER_ID_TOKEN", bad, &[]);
        ran.assert_failed(2, "CLAVIGER_ID_TOKEN contains no bearer token");
    }
    for variable in ["CLAVIGER_ID_TOKEN", "VAULT_ID_TOKEN"] {
        let exec = run_job(&service, "exec", variable, &good, &["--token-variable", variable, "--", "env"]);
        assert!(exec.code == Some(0) && exec.text().contains("NPM_TOKEN=gitlab-s3cret\n"), "{exec:?}");
        assert!(!exec.text().contains(&good) && !exec.text().contains(variable), "{exec:?}");
    }
}

#[test]
fn forks_other_groups_and_unprotected_branches_get_nothing() {
    let service = Service::new();
    for changes in [
        json!({"job_project_id": "8", "pipeline_source": "merge_request_event"}),
        json!({"namespace_id": "43"}),
        json!({"ref_protected": "false"}),
        json!({"project_path": "acme/other"}),
        json!({"ref_type": "tag"}),
        json!({"aud": "other"}),
    ] {
        let refused = run_job(&service, "fetch", "CLAVIGER_ID_TOKEN", &token(&service, &changes), &[]);
        assert_eq!((refused.code, refused.text()), (Some(3), ""), "{changes}: {refused:?}");
    }
    let allowed = run_job(&service, "fetch", "CLAVIGER_ID_TOKEN", &token(&service, &json!({})), &["--required"]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    let event = service.claviger.audit_events().pop().unwrap();
    assert_eq!(event["caller"]["issuer"], "gitlab", "{GITLAB}");
}

/// The runner logs in without a role and with an empty namespace by default, and reads one path.
#[test]
fn secrets_vault_logs_in_and_reads() {
    let service = Service::new();
    let login = |jwt: &str| {
        let body = json!({"jwt": jwt}).to_string();
        service.claviger.send("PUT", "/v1/auth/jwt/login", &[("X-Vault-Request", "true")], body.as_bytes())
    };
    let read = |token: &str, path: &str| {
        let headers = [("X-Vault-Request", "true"), ("X-Vault-Token", token)];
        service.claviger.send("GET", &format!("/v1/claviger/data/{path}"), &headers, b"")
    };
    let answer = login(&token(&service, &json!({})));
    assert_eq!(answer.status, 200, "{answer:?}");
    let client = answer.json()["auth"]["client_token"].as_str().unwrap().to_owned();
    let secret = read(&client, "acme~site/main");
    assert_eq!((secret.status, &secret.json()["data"]["data"]), (200, &json!({"NPM_TOKEN": "gitlab-s3cret"})));
    let fork = login(&token(&service, &json!({"job_project_id": "8"})));
    assert_eq!(fork.status, 200, "a login alone grants nothing");
    let fork = fork.json()["auth"]["client_token"].as_str().unwrap().to_owned();
    assert_eq!(read(&fork, "acme~site/main").status, 403);
    assert_eq!(login("garbage").status, 403);
}
