//! `fetch` and `exec` with `--token-from github-actions` in a simulated job: tokens, masks, variables and refusals.

use super::runner::{BEARER, Log, Runner};
use super::{COMMANDS, LINES, Service};
use crate::fetch::CommandOutput;
use serde_json::{Value, json};

/// The secret parts of the bundle's values.
const SECRETS: [&str; 6] = ["npm-s3cret", "s3cret-line", "true-s3cret", "100%0As3cret", "s3cret-y", "s3cret-z"];

/// Checks that each secret line is masked in the log of a later step, and that ordinary lines are not.
#[track_caller]
pub fn assert_masked(log: &Log, id_token: &str) {
    assert_eq!(log.masks[0].as_str(), id_token, "the id token is masked first");
    for line in LINES.lines().chain(COMMANDS.split("\r\n")).chain(["it's \"$(id)\" `s3cret-z`", "npm-s3cret"]) {
        let shown = log.masked(line);
        assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown} is shown");
    }
    for line in ["{", "}", "1", "if (x > 1) { return 123 }", "+ npm ci --loglevel=http"] {
        assert_eq!(log.masked(line), line, "an ordinary line is masked");
    }
    let [pin] = &log.warnings[..] else { panic!("{log:?}") };
    assert!(pin.contains("PIN is not masked") && !pin.contains("123"), "{pin}");
}

/// Checks that later steps have the variables of [`Service`] for `main` of the site.
#[track_caller]
pub fn assert_variables(runner: &Runner) {
    let variables = runner.variables();
    let expected = [
        ("COMMANDS", COMMANDS),
        ("CONFIG", LINES),
        ("EMPTY", ""),
        ("GITHUB_TOKEN", "it's \"$(id)\" `s3cret-z`\n"),
        ("NPM_TOKEN", "npm-s3cret"),
        ("PIN", "123"),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(variables, expected);
    assert_eq!(runner.file("output"), "keys=COMMANDS,CONFIG,EMPTY,GITHUB_TOKEN,NPM_TOKEN,PIN\n");
}

/// The id token, which is the first mask in the output.
fn first_mask(ran: &str) -> String {
    let first = ran.lines().next().unwrap_or_default();
    let token = first.strip_prefix("::add-mask::").unwrap_or_else(|| panic!("{first} came first"));
    assert!(token.starts_with("eyJ") && token.split('.').count() == 3, "{token}");
    token.to_owned()
}

#[test]
fn fetch_sets_the_variables_of_later_steps_and_masks_them() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    let ran = runner.step(&service, "fetch", &["--github-env"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let log = Log::of(ran.text());
    assert_eq!(log.shown, [""; 0]);
    assert_masked(&log, &first_mask(ran.text()));
    assert_variables(&runner);
    let event = service.claviger.audit_events().pop().unwrap();
    assert_eq!(event["caller"]["subject"], "repo:acme/site:ref:refs/heads/main");
}

#[test]
fn an_unterminated_line_of_another_step_is_ended() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    runner.append_to_file("env", "BEFORE=1\nOPEN=2");
    runner.append_to_file("output", "x=1");
    let ran = runner.step(&service, "fetch", &["--github-env", "--keys", "NPM_TOKEN"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let variables = runner.variables();
    assert_eq!(
        (variables["BEFORE"].as_str(), variables["OPEN"].as_str(), variables["NPM_TOKEN"].as_str()),
        ("1", "2", "npm-s3cret")
    );
    assert_eq!(runner.file("output"), "x=1\nkeys=NPM_TOKEN\n");
}

#[test]
fn masks_are_written_to_the_other_output_than_the_bundle() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    // Printed: `eval "$(claviger fetch ...)"` reads standard output.
    let printed = runner.step(&service, "fetch", &["--format", "json"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap()["CONFIG"], LINES);
    assert_masked(&Log::of(&printed.stderr), &first_mask(&printed.stderr));
    // In a file.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle");
    for format in ["export", "json", "tar"] {
        let filed = runner.step(&service, "fetch", &["--format", format, "--output", file.to_str().unwrap()]);
        assert_eq!((filed.code, filed.stderr.as_str()), (Some(0), ""), "{filed:?}");
        assert_masked(&Log::of(filed.text()), &first_mask(filed.text()));
    }
    let one = runner.step(&service, "fetch", &["--key", "NPM_TOKEN"]);
    assert_eq!((one.text(), &Log::of(&one.stderr).masks[1..]), ("npm-s3cret", &["npm-s3cret".to_owned()][..]));
    assert_eq!(runner.file("env"), "");
}

#[test]
fn exec_masks_and_its_command_cannot_ask_for_more() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let file = format!("CONFIG={}", folder.path().join("lines").display());
    let mut command =
        runner.command(&service, "exec", &["--file", &file, "--", "sh", "-c", "env; echo \"$NPM_TOKEN\" >&2"]);
    command.env("CLAVIGER_AUDIENCE", "claviger");
    let ran = crate::fetch::run_command(&mut command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = Log::of(&ran.stderr);
    assert_masked(&log, &first_mask(&ran.stderr));
    assert_eq!(log.shown, ["npm-s3cret"], "only the output of the command");
    assert!(!ran.text().contains("CLAVIGER_") && ran.text().contains("NPM_TOKEN=npm-s3cret\n"), "{ran:?}");
    assert!(!ran.text().contains("ACTIONS_ID_TOKEN_REQUEST_") && ran.text().contains("GITHUB_ENV="), "{ran:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("lines")).unwrap(), LINES);
}

#[test]
fn the_configured_audience_is_requested() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    let other = runner.step(&service, "fetch", &["--github-env", "--audience", "https://other"]);
    assert_eq!(other.code, Some(3), "the server accepts only its own audience: {other:?}");
    assert!(other.stderr.starts_with("claviger: unauthenticated: "), "{other:?}");
    assert_eq!(runner.step(&service, "fetch", &["--github-env", "--audience", "claviger"]).code, Some(0));
}

/// Requests secrets in a job with these claims. Returns the output and the names of the keys.
fn request_with_claims(service: &Service, changes: &Value, arguments: &[&str]) -> (CommandOutput, String) {
    let runner = Runner::of(service, changes);
    let ran = runner.step(service, "fetch", &[&["--github-env"], arguments].concat());
    (ran, runner.file("output"))
}

#[test]
fn jobs_get_what_their_claims_allow() {
    let service = Service::new();
    let base = "COMMANDS,CONFIG,EMPTY,GITHUB_TOKEN,NPM_TOKEN,PIN";
    let publish = "acme/workflows/.github/workflows/publish.yml@refs/heads/main";
    for (changes, keys) in [
        (json!({}), base.to_owned()),
        (json!({"environment": "production"}), base.replace("EMPTY", "DEPLOY_TOKEN,EMPTY")),
        (json!({"environment": "staging"}), base.to_owned()),
        (json!({"job_workflow_ref": publish}), format!("{base},PUBLISH_TOKEN")),
    ] {
        let (ran, output) = request_with_claims(&service, &changes, &["--required"]);
        assert_eq!((ran.code, output), (Some(0), format!("keys={keys}\n")), "{changes}: {ran:?}");
    }
    for changes in [
        json!({"repository": "acme/other", "repository_id": "100"}),
        json!({"repository_owner_id": "12"}),
        json!({"event_name": "pull_request", "ref": "refs/pull/7/merge"}),
        json!({"event_name": "pull_request_target"}),
        json!({"event_name": "workflow_run"}),
        json!({"ref": "refs/tags/main", "ref_type": "tag"}),
        json!({"ref": "refs/heads/release/1"}),
    ] {
        let (ran, output) = request_with_claims(&service, &changes, &[]);
        assert_eq!((ran.code, output.as_str()), (Some(3), ""), "{changes}: {ran:?}");
        assert!(!ran.text().contains("s3cret") && Log::of(ran.text()).masks.len() == 1, "{ran:?}");
    }
}

#[test]
fn repo_and_branch_may_be_left_out() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    let mut command = crate::fetch::command("fetch");
    runner.prepare(&mut command);
    command.env("CLAVIGER_URL", service.url()).env("CLAVIGER_TOKEN_FROM", "github-actions");
    let ran = crate::fetch::run_command(command.arg("--github-env"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_variables(&runner);
    assert!(!ran.text().contains(BEARER));
}

/// The requests of vault-action, which always has an empty namespace header.
#[test]
fn vault_action_logs_in_and_reads() {
    let service = Service::new();
    let login = |changes: &Value| {
        let jwt = service.issuer.token(&super::github_claims(changes));
        let headers = [("Accept", "application/json"), ("Content-Type", "application/json"), ("X-Vault-Namespace", "")];
        let body = json!({"jwt": jwt, "role": ""}).to_string();
        let answer = service.claviger.send("POST", "/v1/auth/jwt/login", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let read = |token: &str, path: &str| {
        let headers = [("Accept", "application/json"), ("X-Vault-Token", token), ("X-Vault-Namespace", "")];
        service.claviger.send("GET", &format!("/v1/claviger/data/{path}"), &headers, b"")
    };
    let push = login(&json!({}));
    let answer = read(&push, "acme~site/main");
    assert_eq!((answer.status, &answer.json()["data"]["data"]["NPM_TOKEN"]), (200, &json!("npm-s3cret")));
    assert_eq!(read(&push, "acme~other/main").status, 403);
    assert_eq!(
        read(&push, "acme/site/main").status,
        400,
        "the spelling is shown by the text alone, which vault-action does not print"
    );
    assert_eq!(read(&login(&json!({"event_name": "pull_request"})), "acme~site/main").status, 403);
}
