//! `claviger fetch` with the real server: files, formats, keys, empty bundles, and refusals.

use super::{command, fetch, fetch_sample, names, run_command};
use crate::rig::claviger::{Claviger, Dev};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;

const MAIN: [&str; 4] = ["--repo", "moreira.dev", "--branch", "main"];

#[test]
fn the_file_equals_the_download_of_the_curl_commands() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build-env");
    let by_curl = claviger.download(&claviger.ticket("moreira.dev", "main"));
    std::fs::write(&file, "an older one").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = fetch_sample(&claviger, &[&MAIN[..], &["--output", file.to_str().unwrap()]].concat());
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "", ""), "silent in a pipe");
    assert_eq!(std::fs::read(&file).unwrap(), by_curl.body);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(names(folder.path()), ["build-env"]);
    let events = claviger.audit_events();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ticket.issued", "ticket.redeemed", "ticket.issued", "ticket.redeemed"]);
}

#[test]
fn every_format_is_written_unchanged() {
    let secrets = json!({"homelab/moreira.dev/main": {"NPM_REGISTRY": "registry.example", "NPM_TOKEN": "abc"}});
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), ..Dev::default() });
    for format in ["export", "dotenv", "json", "tar", "npmrc"] {
        let path = claviger.ticket("moreira.dev", "main");
        let by_curl = claviger.download(&format!("{path}?format={format}"));
        let ran = fetch_sample(&claviger, &[&MAIN[..], &["--format", format]].concat());
        assert_eq!((ran.code, &ran.stdout, ran.stderr.as_str()), (Some(0), &by_curl.body, ""), "{format}");
    }
    for (arguments, printed) in [
        (&["--key", "NPM_TOKEN"][..], "abc"),
        (&["--key", "NPM_TOKEN", "--format", "raw"], "abc"),
        (&["--keys", "NPM_TOKEN,NOT_THERE"], "export NPM_TOKEN='abc'\n# claviger: 1 keys\n"),
        (&["--keys", "NPM_TOKEN", "--format", "raw"], "abc"),
        (&["--ttl", "5s", "--format", "json"], r#"{"NPM_REGISTRY":"registry.example","NPM_TOKEN":"abc"}"#),
    ] {
        let ran = fetch_sample(&claviger, &[&MAIN[..], arguments].concat());
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), printed, ""), "{arguments:?}");
    }
    let several = fetch_sample(&claviger, &[&MAIN[..], &["--format", "raw"]].concat());
    several.assert_failed(1, "claviger: invalid_request: ");
}

#[test]
fn a_dash_is_standard_output() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let server = format!("http://{}", claviger.api);
    let token = claviger.folder.path().join("token");
    let fetched = |output: &str| {
        let mut command = command("fetch");
        command.args(["--server", &server, "--token-file"]).arg(&token).args(MAIN).args(["--output", output]);
        run_command(command.current_dir(folder.path()))
    };
    let without = fetch_sample(&claviger, &MAIN);
    let dash = fetched("-");
    assert_eq!((dash.code, &dash.stdout, dash.stderr.as_str()), (Some(0), &without.stdout, ""));
    assert_eq!(names(folder.path()), [""; 0]);
    let named = fetched("./-");
    assert_eq!((named.code, named.text()), (Some(0), ""));
    assert_eq!(std::fs::read(folder.path().join("-")).unwrap(), without.stdout);
}

#[test]
fn a_token_may_come_from_standard_input() {
    let claviger = Claviger::sample();
    let mut command = command("fetch");
    command.args(["--server", &format!("http://{}", claviger.api), "--token-file", "-"]).args(MAIN);
    command.stdin(std::fs::File::open(claviger.folder.path().join("token")).unwrap());
    let fetched = run_command(&mut command);
    assert_eq!((fetched.code, fetched.stderr.as_str()), (Some(0), ""));
    assert!(fetched.text().ends_with("# claviger: 3 keys\n"), "{fetched:?}");
    command.stdin(std::process::Stdio::null());
    run_command(&mut command).assert_failed(2, "--token-file: -: contains no bearer token");
}

#[test]
fn a_file_has_the_requested_mode() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build-env");
    for (mode, bits) in [(&["--mode", "0640"][..], 0o640), (&["--mode", "444"], 0o444), (&[], 0o600)] {
        let to_file = ["--output", file.to_str().unwrap()];
        let ran = fetch_sample(&claviger, &[&MAIN[..], &to_file, mode].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{mode:?}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, bits, "{mode:?}");
    }
    let events = claviger.audit_events().len();
    for wrong in [&["--mode", "0640"][..], &["--output", "x", "--mode", "4755"], &["--output", "x", "--mode", "u=r"]] {
        let ran = fetch_sample(&claviger, &[&MAIN[..], wrong].concat());
        assert_eq!((ran.code, ran.text()), (Some(2), ""), "{wrong:?}");
    }
    assert_eq!(claviger.audit_events().len(), events, "it asked");
}

#[test]
fn no_token_is_sent_in_clear_to_another_machine_unless_that_is_allowed() {
    let claviger = Claviger::sample();
    let token = claviger.folder.path().join("token");
    // Not a loopback address, but it leads to this machine.
    let elsewhere = format!("http://0.0.0.0:{}", claviger.api.port());
    for server in [elsewhere.as_str(), "http://claviger.claviger.svc:8080", "http://10.0.0.1"] {
        fetch(server, &token, &MAIN).assert_failed(2, "--insecure");
        let mut exec = command("exec");
        exec.args(["--server", server, "--token-file"]).arg(&token).args(MAIN).args(["--", "true"]);
        run_command(&mut exec).assert_failed(125, "--insecure");
    }
    assert_eq!(claviger.audit_events().len(), 0);
    let allowed = fetch(&elsewhere, &token, &[&MAIN[..], &["--insecure"]].concat());
    assert_eq!((allowed.code, allowed.stderr.as_str()), (Some(0), ""));
    let localhost = format!("http://localhost:{}", claviger.api.port());
    assert_eq!(fetch(&localhost, &token, &MAIN).code, Some(0));
}

#[test]
fn no_bundle_comes_in_clear_from_another_machine_unless_that_is_allowed() {
    let environment = [("CLAVIGER__SERVER__PUBLICURL", "http://claviger.claviger.svc:8080")];
    let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
    fetch_sample(&claviger, &MAIN).assert_failed(1, "the ticket's URL is http");
}

#[test]
fn missing_secrets_give_an_empty_file_unless_required() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build-env");
    let nothing = ["--repo", "moreira.dev", "--branch", "feature/x"];
    for arguments in [&[][..], &["--format", "dotenv"], &["--key", "NOT_THERE"], &["--keys", "NOT_THERE"]] {
        let to_file = ["--output", file.to_str().unwrap()];
        let ran = fetch_sample(&claviger, &[&nothing[..], arguments, &to_file].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert_eq!(std::fs::read(&file).unwrap(), b"");
        std::fs::remove_file(&file).unwrap();
    }
    assert_eq!(fetch_sample(&claviger, &[&nothing[..], &["--format", "json"]].concat()).text(), "{}");
    assert_eq!(fetch_sample(&claviger, &[&MAIN[..], &["--key", "NOT_THERE"]].concat()).code, Some(0));
    let required = ["--required", "--output", file.to_str().unwrap()];
    let ran = fetch_sample(&claviger, &[&nothing[..], &required].concat());
    ran.assert_failed(1, "claviger: secret_not_found: ");
    assert!(ran.stderr.contains(" [request "), "{ran:?}");
    assert_eq!(names(folder.path()), [""; 0]);
    assert_eq!(fetch_sample(&claviger, &[&MAIN[..], &["--required"]].concat()).code, Some(0));
}

#[test]
fn refusals_write_no_file_and_print_no_token() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build-env");
    let to_file = ["--output", file.to_str().unwrap()];
    let strange = folder.path().join("token");
    std::fs::write(&strange, "hunter2\n").unwrap();
    let server = format!("http://{}", claviger.api);
    fetch(&server, &strange, &[&MAIN[..], &to_file].concat()).assert_failed(3, "claviger: unauthenticated: ");
    for (arguments, code, word) in [
        (&["--repo", "other", "--branch", "main"][..], 3, "denied"),
        (&["--repo", "..", "--branch", "main"], 1, "invalid_repo"),
        (&["--repo", "moreira.dev", "--branch", "a..b"], 1, "invalid_branch"),
        (&["--branch", "main"], 1, "invalid_request"),
        (&[&MAIN[..], &["--ttl", "90"]].concat(), 1, "invalid_request"),
        (&[&MAIN[..], &["--format", "netrc"]].concat(), 1, "unrenderable"),
    ] {
        let ran = fetch_sample(&claviger, &[arguments, &to_file].concat());
        ran.assert_failed(code, &format!("claviger: {word}: "));
        assert!(!ran.stderr.contains(&claviger.token("token")) && !ran.stderr.contains("/v1/downloads"), "{ran:?}");
    }
    assert_eq!(names(folder.path()), ["token"]);
}

#[test]
fn an_invalid_command_line_sends_no_request() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["--format", "xml"][..],
        &["--key", "A", "--format", "json"],
        &["--key", "A", "--keys", "B"],
        &["--key", ""],
        &["--keys", ""],
        &["--keys", "A,,B"],
        &["--timeout", "soon"],
        &["--token", "hunter2"],
        &["--output", "/dev/stdout"],
        &["--output", "/no/such/folder/file"],
        &["--output", folder.path().to_str().unwrap()],
        &["--repo", "twice"],
    ] {
        let ran = fetch_sample(&claviger, &[&MAIN[..], wrong].concat());
        assert_eq!((ran.code, ran.text()), (Some(2), ""), "{wrong:?} {ran:?}");
        assert!(!ran.stderr.is_empty(), "{wrong:?}");
    }
    assert_eq!(run_command(command("fetch").args(MAIN)).code, Some(2), "no server");
    assert_eq!(claviger.audit_events().len(), 0);
}

#[test]
fn server_and_token_file_come_from_the_environment() {
    let claviger = Claviger::sample();
    let mut by_environment = command("fetch");
    by_environment.env("CLAVIGER_URL", format!("http://{}/", claviger.api));
    by_environment.env("CLAVIGER_TOKEN_FILE", claviger.folder.path().join("token"));
    let ran = run_command(by_environment.args(MAIN));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.text().ends_with("# claviger: 3 keys\n"), "{ran:?}");
}

#[test]
fn a_closed_output_is_an_error() {
    let claviger = Claviger::sample();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = command("fetch");
    command.args(["--server", &format!("http://{}", claviger.api), "--token-file"]);
    let child =
        command.arg(claviger.folder.path().join("token")).args(MAIN).stdout(full).stderr(std::process::Stdio::piped());
    let output = child.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write to standard output"));
}
