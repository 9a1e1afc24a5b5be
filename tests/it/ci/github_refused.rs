//! Refusals of `--token-from github-actions` and `--github-env`: no id token, no TLS, redirects, names of the runner.

use super::runner::{BEARER, Runner, id_token};
use super::{Service, github_claims};
use crate::fetch::fake::answer;
use crate::fetch::run_command;
use serde_json::json;

#[test]
fn a_job_without_the_id_token_permission_gets_a_clear_error() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    for missing in ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
        for empty in [false, true] {
            let mut command = runner.command(&service, "fetch", &["--github-env"]);
            if empty {
                command.env(missing, "")
            } else {
                command.env_remove(missing)
            };
            let ran = run_command(&mut command);
            assert_eq!((ran.code, ran.text()), (Some(2), ""), "{ran:?}");
            assert!(
                ran.stderr.contains(missing) && ran.stderr.contains("id-token: write") && ran.stderr.contains("forks"),
                "{ran:?}"
            );
        }
    }
    let mut exec = runner.command(&service, "exec", &["--", "true"]);
    assert_eq!(run_command(exec.env_remove("ACTIONS_ID_TOKEN_REQUEST_URL")).code, Some(125));
    assert_eq!((runner.file("env").as_str(), service.claviger.audit_events().len()), ("", 0));
}

#[test]
fn the_bearer_goes_to_no_server_without_tls_and_follows_no_redirect() {
    let service = Service::new();
    let (elsewhere, claims, issuer) =
        (Runner::of(&service, &json!({})), github_claims(&json!({})), service.issuer.clone());
    let target = format!("{}/token?api-version=2.0&audience=claviger", elsewhere.endpoint.url());
    let runner = Runner::answering(move |_, _, _| Some(answer(302, &[("Location", &target)], "")));
    let redirected = runner.step(&service, "fetch", &["--github-env"]);
    redirected.assert_failed(1, "it answered 302, and redirects are not followed");
    assert_eq!(elsewhere.endpoint.redemptions().len(), 0, "the redirect was followed");
    for url in [
        "http://10.0.0.1/token?a=b",
        "http://localhost.example/",
        "ftp://127.0.0.1/",
        "not a URL",
        "http://127.0.0.1@10.0.0.1/",
    ] {
        let mut command = runner.command(&service, "fetch", &["--github-env"]);
        let ran = run_command(command.env("ACTIONS_ID_TOKEN_REQUEST_URL", url));
        ran.assert_failed(2, "ACTIONS_ID_TOKEN_REQUEST_URL ");
        assert!(!ran.stderr.contains(BEARER) && !ran.stderr.contains("10.0.0.1"), "{ran:?}");
    }
    // The same job with its own endpoint gets one.
    let good = Runner::answering(move |_, request, _| Some(id_token(&issuer, &claims, request)));
    assert_eq!(good.step(&service, "fetch", &["--github-env"]).code, Some(0));
}

#[test]
fn a_failing_endpoint_is_retried_and_a_refusing_one_is_not() {
    let service = Service::new();
    let (issuer, claims) = (service.issuer.clone(), github_claims(&json!({})));
    let busy = Runner::answering(move |_, request, before| {
        Some(if before < 2 { answer([503, 429][before], &[], "") } else { id_token(&issuer, &claims, request) })
    });
    let ran = busy.step(&service, "fetch", &["--github-env"]);
    assert_eq!((ran.code, busy.endpoint.redemptions().len()), (Some(0), 3), "{ran:?}");
    for (status, body, words) in [
        (401, "{}", "it answered 401"),
        (403, "s3cret", "it answered 403"),
        (404, "", "it answered 404"),
        (200, "", "has no id token in it"),
        (200, "{\"value\":\"\"}", "has no id token in it"),
        (200, "{\"value\":\"a b\"}", "has no id token in it"),
        (200, "<html>s3cret</html>", "has no id token in it"),
    ] {
        let runner = Runner::answering(move |_, _, _| Some(answer(status, &[], body)));
        let ran = runner.step(&service, "fetch", &["--github-env"]);
        ran.assert_failed(1, words);
        assert_eq!(runner.endpoint.redemptions().len(), 1, "{status}");
        assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
    }
    let large = Runner::answering(|_, _, _| Some(answer(200, &[], &"x".repeat(200_000))));
    large.step(&service, "fetch", &["--github-env"]).assert_failed(1, "too large");
    let never = Runner::answering(|_, _, _| Some(answer(503, &[], "")));
    never.step(&service, "fetch", &["--github-env", "--timeout", "1s"]).assert_failed(4, "it answered 503");
    let silent = Runner::answering(|_, _, _| None);
    silent.step(&service, "fetch", &["--github-env", "--timeout", "1s"]).assert_failed(4, "no answer in time");
}

#[test]
fn names_of_the_runner_are_refused_and_nothing_is_written() {
    for name in ["NODE_OPTIONS", "GITHUB_REF", "RUNNER_TEMP", "ACTIONS_STEP_DEBUG", "INPUT_TOKEN"] {
        // The policy writes the name literally, so the server does not refuse it.
        let service = Service::with(&json!({name: "x-s3cret"}), &json!({"keys": ["NPM_TOKEN", name]}));
        let runner = Runner::of(&service, &json!({}));
        let ran = runner.step(&service, "fetch", &["--github-env"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(&format!("{name} is a name that a runner keeps for itself")), "{ran:?}");
        assert_eq!((runner.file("env").as_str(), runner.file("output").as_str()), ("", ""), "{name}");
        assert!(
            service.claviger.audit_events().iter().all(|event| event["type"] != "ticket.redeemed"),
            "a ticket was spent"
        );
        let without = runner.step(&service, "fetch", &["--github-env", "--keys", "NPM_TOKEN"]);
        assert_eq!((without.code, runner.variables().len()), (Some(0), 1), "{without:?}");
    }
    // A name that controls a shell and is not written in a policy: the server refuses it.
    let service = Service::with(&json!({"LD_PRELOAD": "x"}), &json!({}));
    let runner = Runner::of(&service, &json!({}));
    runner.step(&service, "fetch", &["--github-env"]);
    assert_eq!(runner.file("env"), "");
}

#[test]
fn the_files_of_the_step_must_be_there() {
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    let run = |set: &dyn Fn(&mut std::process::Command)| {
        let mut command = runner.command(&service, "fetch", &["--github-env"]);
        set(&mut command);
        run_command(&mut command)
    };
    run(&|command| _ = command.env_remove("GITHUB_ENV")).assert_failed(2, "GITHUB_ENV is not set");
    run(&|command| _ = command.env("GITHUB_ENV", "/no/such/file")).assert_failed(2, "GITHUB_ENV: cannot be opened");
    run(&|command| _ = command.env("GITHUB_OUTPUT", "/no/such/file"))
        .assert_failed(2, "GITHUB_OUTPUT: cannot be opened");
    assert_eq!(service.claviger.audit_events().len(), 0);
    let without_output = run(&|command| _ = command.env_remove("GITHUB_OUTPUT"));
    assert_eq!(without_output.code, Some(0), "{without_output:?}");
    for with in [&["--format", "json"][..], &["--output", "x"], &["--key", "NPM_TOKEN"]] {
        let ran = runner.step(&service, "fetch", &[&["--github-env"], with].concat());
        assert_eq!((ran.code, ran.text()), (Some(2), ""), "{with:?}");
    }
}
