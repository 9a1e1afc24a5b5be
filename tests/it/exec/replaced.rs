//! Without `--mask`: `exec(2)`.

use super::{exec, run};
use crate::fetch::{names, run_command};
use crate::rig::claviger::{Claviger, Dev, binary};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

const SHOW: &str = r#"printf '%s|%s|%s' "$GITHUB_TOKEN" "$NPM_TOKEN" "$PUBLIC_URL""#;

#[test]
fn the_command_has_the_secrets_and_the_process() {
    let claviger = Claviger::sample();
    let ran = run(&claviger, &["--", "sh", "-c", SHOW]);
    let expected = "sample-github-token|sample npm token with 'quotes' and $(no) expansion|https://moreira.dev";
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), expected, ""));
    // The process is replaced: there is no parent.
    let mut direct = Command::new(binary());
    direct.args(["exec", "--server", &format!("http://{}", claviger.api), "--token-file"]);
    direct.arg(claviger.folder.path().join("token")).args(["--repo", "moreira.dev", "--branch", "main", "--"]);
    let child = direct.args(["sh", "-c", "echo $$"]).stdout(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n"));
}

#[test]
fn exec_exits_like_the_command() {
    let claviger = Claviger::sample();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 125", 125)] {
        assert_eq!(run(&claviger, &["--", "sh", "-c", script]).code, Some(code), "{script}");
    }
    run(&claviger, &["--", "/no/such/command"]).assert_failed(127, "claviger: /no/such/command: ");
    run(&claviger, &["--", "no-such-command"]).assert_failed(127, "claviger: no-such-command: ");
    run(&claviger, &["--", "/etc/passwd"]).assert_failed(126, "claviger: /etc/passwd: ");
    run(&claviger, &["--", "/"]).assert_failed(126, "claviger: /: ");
}

#[test]
fn the_command_does_not_inherit_token_or_server() {
    let claviger = Claviger::sample();
    let mut command = exec(&claviger, &["--", "env"]);
    command.env("CLAVIGER_URL", format!("http://{}", claviger.api)).env("CLAVIGER_TOKEN_FILE", "/x");
    command.env("CLAVIGER_CA_FILE", "/y").env("CLAVIGER_INSECURE", "true");
    command.env("GITHUB_TOKEN", "replaced").env("KEPT", "1");
    let ran = run_command(&mut command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.text().contains("CLAVIGER_"), "{ran:?}");
    assert!(ran.text().contains("GITHUB_TOKEN=sample-github-token\n") && ran.text().contains("KEPT=1\n"), "{ran:?}");
}

#[test]
fn claviger_fails_with_125_and_runs_nothing() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("ran");
    let touch = ["--", "touch", mark.to_str().unwrap()];
    for wrong in [
        &["--repo", "x"][..],
        &["--bogus"],
        &["--file", "A"],
        &["--file", "A=/no/such/folder/file"],
        &["--file", "A=/tmp/x", "--file", "A=/tmp/y"],
        &["--timeout", "x"],
        &["--only", ""],
        &["--only", "A,"],
    ] {
        assert_eq!(run(&claviger, &[wrong, &touch].concat()).code, Some(125), "{wrong:?}");
    }
    assert_eq!(run(&claviger, &[]).code, Some(125), "no command");
    let mut denied = crate::fetch::command("exec");
    denied.args(["--server", &format!("http://{}", claviger.api), "--token-file"]);
    denied.arg(claviger.folder.path().join("token")).args(["--repo", "other", "--branch", "main"]).args(touch);
    run_command(&mut denied).assert_failed(125, "claviger: denied: ");
    let mut required = crate::fetch::command("exec");
    required.args(["--server", &format!("http://{}", claviger.api), "--token-file"]);
    required.arg(claviger.folder.path().join("token"));
    required.args(["--repo", "moreira.dev", "--branch", "nothing", "--required"]).args(touch);
    run_command(&mut required).assert_failed(125, "claviger: secret_not_found: ");
    let mut away = crate::fetch::command("exec");
    away.args(["--server", "http://127.0.0.1:1", "--timeout", "1s", "--token-file"]);
    away.arg(claviger.folder.path().join("token")).args(["--repo", "moreira.dev", "--branch", "main"]).args(touch);
    run_command(&mut away).assert_failed(125, "claviger: the server cannot be reached: ");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn missing_secrets_set_no_variable() {
    let claviger = Claviger::sample();
    let mut exec = crate::fetch::command("exec");
    exec.args(["--server", &format!("http://{}", claviger.api), "--token-file"]);
    exec.arg(claviger.folder.path().join("token")).args(["--repo", "moreira.dev", "--branch", "nothing"]);
    let ran = run_command(exec.args(["--only", "GITHUB_TOKEN", "--", "env"]));
    assert!(ran.code == Some(0) && !ran.text().contains("GITHUB_TOKEN"), "{ran:?}");
}

/// A policy for the sample caller with these settings for its one secret.
pub fn policy(more: &serde_json::Value) -> serde_json::Value {
    let mut secret = json!({"store": "local", "path": "homelab/{repo}/{branch}"});
    secret.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}],
        "repos": ["moreira.dev"], "branches": ["**"], "secrets": [secret],
    })
}

#[test]
fn a_name_that_owns_a_command_is_refused_unless_a_policy_writes_it() {
    let secrets = json!({"homelab/moreira.dev/main": {"LD_PRELOAD": "/evil.so", "A": "b"}});
    for (more, code) in
        [(json!({}), 125), (json!({"keys": ["LD_*", "A"]}), 125), (json!({"keys": ["LD_PRELOAD", "A"]}), 0)]
    {
        let policies = [("sample", policy(&more))];
        let dev = Dev { secrets: Some(secrets.clone()), policies: &policies, ..Dev::default() };
        let claviger = Claviger::dev(&dev);
        let ran = run(&claviger, &["--", "/usr/bin/env"]);
        assert_eq!(ran.code, Some(code), "{more} {ran:?}");
        if code == 0 {
            assert!(ran.text().contains("LD_PRELOAD=/evil.so\n"), "{ran:?}");
        } else {
            ran.assert_failed(125, "claviger: unrenderable: ");
            let only = run(&claviger, &["--only", "A", "--", "sh", "-c", "echo $A"]);
            assert_eq!((only.code, only.text()), (Some(0), "b\n"));
        }
    }
}

#[test]
fn keys_go_into_files_for_their_owner_and_not_into_the_environment() {
    let secrets = json!({"homelab/moreira.dev/main": {"tls.key": "a\u{0}b", "A": "of-a", "B": "of-b"}});
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), ..Dev::default() });
    let folder = tempfile::tempdir().unwrap();
    let (key, a, none) = (folder.path().join("key"), folder.path().join("a"), folder.path().join("none"));
    let file = |name: &str, path: &std::path::Path| format!("{name}={}", path.display());
    let (key_file, a_file, none_file) = (file("tls.key", &key), file("A", &a), file("NONE", &none));
    let files = ["--file", &key_file, "--file", &a_file, "--file", &none_file];
    let show = ["--", "sh", "-c", r#"echo "$A|$B""#];
    // A bundle with such a name cannot become an environment, unless `--only` excludes it.
    run(&claviger, &[&files[..], &show].concat()).assert_failed(125, "unrenderable");
    assert_eq!(names(folder.path()), [""; 0]);
    let ran = run(&claviger, &[&["--only", "A,B"], &files[..], &show].concat());
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "|of-b\n", ""));
    for (path, content) in [(&key, &b"a\0b"[..]), (&a, b"of-a"), (&none, b"")] {
        assert_eq!(std::fs::read(path).unwrap(), content);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let ran = run(&claviger, &[&["--only", "B"], &files[..], &["--", "/no/such/command"]].concat());
    assert_eq!(ran.code, Some(127));
    assert_eq!(names(folder.path()), [""; 0], "the files are removed");
}

#[test]
fn a_file_has_the_bytes_of_a_value_that_a_policy_decodes() {
    // 0xff, `hunter2`, and a name that no archive of the server can have.
    let secrets = json!({"homelab/moreira.dev/main": {"p12": "/w==", "TEXT": "aHVudGVyMg==", "-a/p12": "AP8="}});
    let policies = [("sample", policy(&json!({"encoding": "base64"})))];
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), policies: &policies, ..Dev::default() });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, path: &str| format!("--file={name}={}", folder.path().join(path).display());
    let files = [file("p12", "p12"), file("-a/p12", "odd"), file("TEXT", "text"), file("/", "none")];
    let files = files.each_ref().map(String::as_str);
    let ran = run(&claviger, &[&["--only", "p12"], &files[..], &["--", "true"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for (path, content) in [("p12", &b"\xff"[..]), ("odd", b"\0\xff"), ("text", b"hunter2"), ("none", b"")] {
        assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), content, "{path}");
    }
    let ran = run(&claviger, &["--only", "TEXT", "--", "sh", "-c", "printf %s $TEXT"]);
    assert_eq!(ran.text(), "hunter2", "the file has the text of the variable");
}

#[test]
fn required_counts_the_keys_of_environment_and_files_together() {
    let claviger = Claviger::dev(&Dev {
        secrets: Some(json!({"homelab/moreira.dev/main": {"TOKEN": "of-token", "F": "of-f"}})),
        ..Dev::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = |name: &str| format!("--file={name}={}", path.display());
    let show = ["--", "sh", "-c", r#"echo "$TOKEN""#];
    for (only, name, output, content) in [
        (&[][..], "NPMRC", "of-token\n", ""),
        (&["--only", "TOKEN"], "NPMRC", "of-token\n", ""),
        (&["--only", "A,F"], "F", "\n", "of-f"),
        (&["--only", "F"], "F", "\n", "of-f"),
        // A name that no archive can have.
        (&["--only", "TOKEN"], "-a/p12", "of-token\n", ""),
    ] {
        let ran = run(&claviger, &[&["--required", &file(name)], only, &show].concat());
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), output, ""), "{only:?} {name}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "{only:?} {name}");
        std::fs::remove_file(&path).unwrap();
    }
    for (only, name) in
        [(&["--only", "A"][..], "B"), (&["--only", "B"], "B"), (&["--only", "A"], "-a/p12"), (&["--only", "A,B"], "B")]
    {
        let ran = run(&claviger, &[&["--required", &file(name)], only, &show].concat());
        ran.assert_failed(125, "claviger: secret_not_found: ");
        assert_eq!(names(folder.path()), [""; 0], "{only:?} {name}");
    }
    let nothing = exec(&claviger, &[&["--required", &file("F")][..], &show].concat());
    let arguments: Vec<_> = nothing.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut nothing = Command::new(nothing.get_program());
    nothing.args(arguments.iter().map(|argument| if argument == "main" { "nothing" } else { argument.as_str() }));
    run_command(&mut nothing).assert_failed(125, "claviger: secret_not_found: ");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn ignored_signals_stay_ignored() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("--file=GITHUB_TOKEN={}", folder.path().join("x").display());
    let show = ["--", "grep", "SigIgn", "/proc/self/status"];
    for options in [&[][..], &["--mask"], &[file.as_str()], &["--mask", &file]] {
        let whole = exec(&claviger, &[options, &show].concat());
        let mut shell = Command::new("sh");
        // As nohup does it for SIGHUP, and a shell without job control for SIGINT of a background command. Without `timeout`, which
        // would reset them.
        shell.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(binary()).args(whole.get_args().skip(4));
        let ran = run_command(&mut shell);
        let ignored = ran.text().trim_end().rsplit('\t').next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        assert_eq!(ignored.map(|ignored| ignored & 0b11), Some(0b11), "{options:?} {ran:?}");
    }
}
