//! The step of `action.yml` in a simulated runner, with curl alone and with the binary.

use super::github::{assert_masked, assert_variables};
use super::runner::{BEARER, Log, Runner, id_token};
use super::{Service, github_claims};
use crate::fetch::fake::{Fake, answer};
use crate::fetch::{CommandOutput, run_command};
use crate::rig::claviger::binary;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

fn action() -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Runs the step with these inputs and the defaults of the others, as `shell: bash` does.
fn run_step(runner: &Runner, inputs: &[(&str, &str)], change: &dyn Fn(&mut Command)) -> CommandOutput {
    let action = action();
    let declared = action["inputs"].as_object().unwrap();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, input) in declared {
        values.insert(format!("${{{{ inputs.{name} }}}}"), input["default"].as_str().unwrap_or_default().to_owned());
    }
    for (name, value) in inputs {
        assert!(declared.contains_key(*name), "{name} is not an input");
        values.insert(format!("${{{{ inputs.{name} }}}}"), (*value).to_owned());
    }
    let [step] = &action["runs"]["steps"].as_array().unwrap()[..] else { panic!("one step") };
    assert_eq!((step["shell"].as_str(), action["runs"]["using"].as_str()), (Some("bash"), Some("composite")));
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.sh");
    std::fs::write(&script, step["run"].as_str().unwrap()).unwrap();
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "90", "bash", "--noprofile", "--norc", "-eo", "pipefail"]).arg(&script);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GITHUB_ACTION_PATH", env!("CARGO_MANIFEST_DIR"));
    runner.prepare(&mut command);
    for (name, value) in step["env"].as_object().unwrap() {
        command.env(name, &values[value.as_str().unwrap()]);
    }
    change(command.stdin(Stdio::null()));
    run_command(&mut command)
}

fn with_curl(runner: &Runner, service: &Service, inputs: &[(&str, &str)]) -> CommandOutput {
    let url = service.url();
    run_step(runner, &[&[("server", url.as_str()), ("claviger", "curl")], inputs].concat(), &|_| {})
}

#[test]
fn curl_alone_sets_and_masks_what_the_binary_does() {
    let service = Service::new();
    let (url, path) = (service.url(), binary().display().to_string());
    for client in ["curl", path.as_str()] {
        let runner = Runner::of(&service, &json!({}));
        runner.append_to_file("env", "");
        let inputs = [
            ("server", url.as_str()),
            ("claviger", client),
            ("repo", "acme/site"),
            ("branch", "main"),
            ("required", "true"),
        ];
        let ran = run_step(&runner, &inputs, &|_| {});
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{client}: {ran:?}");
        let log = Log::of(ran.text());
        assert_eq!(log.shown, [""; 0], "{client}");
        assert_masked(&log, log.masks[0].as_str());
        assert!(log.masks[0].starts_with("eyJ"), "{client}: {log:?}");
        assert_variables(&runner);
        assert_eq!(runner.temporary_files(), ["env", "output"], "{client} leaves files");
    }
    let output = action()["outputs"]["keys"]["value"].as_str().unwrap().to_owned();
    assert_eq!(
        output,
        format!("${{{{ steps.{}.outputs.keys }}}}", action()["runs"]["steps"][0]["id"].as_str().unwrap())
    );
}

#[test]
fn the_binary_on_the_path_is_used_and_keys_and_attested_names_work() {
    let service = Service::new();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(binary(), folder.path().join("claviger")).unwrap();
    let url = service.url();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let on_path = Runner::of(&service, &json!({}));
    let by_path =
        run_step(&on_path, &[("server", &url), ("keys", "NPM_TOKEN,PIN")], &|command| _ = command.env("PATH", &path));
    assert_eq!(by_path.code, Some(0), "{by_path:?}");
    let runner = Runner::of(&service, &json!({}));
    runner.append_to_file("env", "OPEN=1");
    runner.append_to_file("output", "x=2");
    let by_curl = with_curl(&runner, &service, &[("keys", "NPM_TOKEN,PIN")]);
    assert_eq!(by_curl.code, Some(0), "{by_curl:?}");
    assert_eq!(
        (on_path.file("output").as_str(), runner.file("output").as_str()),
        ("keys=NPM_TOKEN,PIN\n", "x=2\nkeys=NPM_TOKEN,PIN\n")
    );
    assert_eq!((runner.variables()["OPEN"].as_str(), runner.variables()["NPM_TOKEN"].as_str()), ("1", "npm-s3cret"));
    let nothing = with_curl(&runner, &service, &[("keys", "NOT_THERE")]);
    assert_eq!((nothing.code, runner.variables().len()), (Some(0), 3), "{nothing:?}");
    assert!(runner.file("output").ends_with("\nkeys=\n"));
    let required = with_curl(&runner, &service, &[("keys", "NOT_THERE"), ("required", "true")]);
    assert_eq!(required.code, Some(1), "{required:?}");
    assert_eq!(Log::of(required.text()).errors, ["claviger: no ticket: secret_not_found (404)"]);
}

#[test]
fn refusals_end_the_step_and_write_nothing() {
    let service = Service::new();
    for changes in [
        json!({"repository": "acme/other"}),
        json!({"event_name": "pull_request"}),
        json!({"repository_owner_id": "1"}),
    ] {
        let runner = Runner::of(&service, &changes);
        let ran = with_curl(&runner, &service, &[("repo", "acme/site"), ("branch", "main")]);
        let log = Log::of(ran.text());
        assert_eq!((ran.code, log.masks.len()), (Some(1), 1), "{changes}: {ran:?}");
        assert!(log.errors.len() == 1 && log.errors[0].ends_with("(403)"), "{log:?}");
        assert_eq!(
            (runner.file("env").as_str(), runner.temporary_files()),
            ("", vec!["env".to_owned(), "output".to_owned()]),
            "{changes}"
        );
    }
    let runner = Runner::of(&service, &json!({}));
    let url = service.url();
    let inputs = [("server", url.as_str()), ("claviger", "curl")];
    let fails = |change: &dyn Fn(&mut Command), inputs: &[(&str, &str)], words: &str| {
        let ran = run_step(&runner, inputs, change);
        let errors = Log::of(ran.text()).errors;
        assert_eq!((ran.code, errors.len()), (Some(1), 1), "{words}: {ran:?}");
        assert!(errors[0].contains(words) && !ran.text().contains(BEARER), "{words}: {errors:?}");
        assert_eq!(runner.file("env"), "", "{words}");
    };
    fails(&|command| _ = command.env_remove("ACTIONS_ID_TOKEN_REQUEST_URL"), &inputs, "id-token: write");
    fails(&|command| _ = command.env_remove("GITHUB_ENV"), &inputs, "GITHUB_ENV is not set");
    for url in [
        "http://10.0.0.1/",
        "http://127.0.0.1@10.0.0.1/",
        "http://127.0.0.1:80@10.0.0.1/",
        "ftp://127.0.0.1/",
        "http://127.0.0.10.example/",
    ] {
        fails(&|command| _ = command.env("ACTIONS_ID_TOKEN_REQUEST_URL", url), &inputs, "must be https");
        fails(&|_| {}, &[("server", url), ("claviger", "curl")], "the input server must be https");
    }
    fails(&|_| {}, &[&inputs[..], &[("required", "yes")]].concat(), "true or false");
}

#[test]
fn lost_and_deferred_requests_are_repeated_and_no_redirect_is_followed() {
    let service = Service::new();
    let (issuer, claims) = (service.issuer.clone(), github_claims(&json!({})));
    let busy = Runner::answering(move |_, request, before| {
        Some(match before {
            0 => answer(503, &[], ""),
            1 => b"HTTP/1.1 200 OK\r\nConnection: close\r\n".to_vec(),
            _ => id_token(&issuer, &claims, request),
        })
    });
    let ran = with_curl(&busy, &service, &[]);
    assert_eq!((ran.code, busy.endpoint.redemptions().len()), (Some(0), 3), "{ran:?}");
    assert_variables(&busy);
    let elsewhere = Fake::start(|_, _, _| Some(answer(200, &[], "{\"value\":\"stolen\"}")));
    let target = format!("{}/token", elsewhere.url());
    let redirecting = Runner::answering(move |_, _, _| Some(answer(302, &[("Location", &target)], "")));
    let ran = with_curl(&redirecting, &service, &[]);
    assert_eq!(Log::of(ran.text()).errors, ["claviger: GitHub gives no id token: it answered 302"]);
    assert!(elsewhere.redemptions().is_empty());
}

#[test]
fn a_bundle_that_is_not_whole_or_has_names_of_the_runner_is_refused() {
    for name in ["NODE_OPTIONS", "node_options", "GITHUB_REF", "Runner_x"] {
        let service = Service::with(&json!({(name): "x-s3cret"}), &json!({"keys": ["NPM_TOKEN", name]}));
        let runner = Runner::of(&service, &json!({}));
        let ran = with_curl(&runner, &service, &[]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let expected = format!("{name} is a name that a runner keeps for itself");
        assert!(Log::of(ran.text()).errors[0].contains(&expected), "{ran:?}");
        assert_eq!(runner.file("env"), "");
    }
    let service = Service::new();
    let runner = Runner::of(&service, &json!({}));
    // A server with wrong answers.
    for body in [
        "export A='s3cret'\n",
        "export A='s3cret'\n# claviger: 2 keys\n",
        "export A='s3cret'; id\n# claviger: 1 keys\n",
        "export A='s3cret\n# claviger: 1 keys\n",
        "export A=s3cret\n# claviger: 1 keys\n",
        "export A$(id)='s3cret'\n# claviger: 1 keys\n",
        "<html>s3cret</html>",
    ] {
        let liar = Fake::start(move |fake, request, _| {
            Some(if request.starts_with("POST ") {
                answer(201, &[], &fake.ticket_url())
            } else {
                answer(200, &[], body)
            })
        });
        let url = liar.url();
        let ran = run_step(&runner, &[("server", url.as_str()), ("claviger", "curl")], &|_| {});
        assert_eq!((ran.code, runner.file("env").as_str()), (Some(1), ""), "{body}: {ran:?}");
        assert!(
            !ran.text().contains("s3cret") && Log::of(ran.text()).errors[0].contains("not as Claviger gives it"),
            "{body}: {ran:?}"
        );
    }
}
