//! With `--mask`: the output of the child process contains no value.

use super::{exec, run};
use crate::fetch::names;
use crate::rig::claviger::{Claviger, Dev, wait_until};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

#[test]
fn no_value_appears_on_either_stream_in_any_chunking() {
    let claviger = Claviger::sample();
    for (script, expected) in [
        (r#"echo "token: $GITHUB_TOKEN.""#, "token: ***.\n"),
        (r#"echo "$GITHUB_TOKEN$NPM_TOKEN""#, "***\n"),
        (r#"printf %s "$GITHUB_TOKEN" | base64"#, "***==\n"),
        (r#"printf %s "$GITHUB_TOKEN" | od -An -v -tx1 | tr -d ' \n'"#, "***"),
        ("printf 'sample-git'; sleep 0.3; printf 'hub-token'; sleep 0.3; echo", "***\n"),
        ("for c in s a m p l e - g i t h u b - t o k e n; do printf %s $c; done", "***"),
        ("printf 'sample-git'", "sample-git"),
        ("echo nothing", "nothing\n"),
        ("true", ""),
    ] {
        let ran = run(&claviger, &["--mask", "--", "sh", "-c", script]);
        let is_base64 = script.contains("base64");
        if is_base64 {
            assert!(ran.text().starts_with("***") && ran.text().len() < 9, "{ran:?}");
        } else {
            assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), expected, ""), "{script}");
        }
        let ran = run(&claviger, &["--mask", "--", "sh", "-c", &format!("{{ {script}; }} >&2")]);
        assert_eq!((ran.code, ran.text()), (Some(0), ""), "{script}");
        assert!(is_base64 || ran.stderr == expected, "{script}: {ran:?}");
    }
}

#[test]
fn exec_exits_like_the_command() {
    let claviger = Claviger::sample();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15)] {
        assert_eq!(run(&claviger, &["--mask", "--", "sh", "-c", script]).code, Some(code), "{script}");
    }
    run(&claviger, &["--mask", "--", "/no/such/command"]).assert_failed(127, "claviger: /no/such/command: ");
    run(&claviger, &["--mask", "--", "/etc/passwd"]).assert_failed(126, "claviger: /etc/passwd: ");
    // A background process that the child leaves does not delay the end.
    let ran = run(&claviger, &["--mask", "--", "sh", "-c", "sleep 30 & echo done"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "done\n"));
}

#[test]
fn short_values_are_reported_and_each_line_of_long_ones_is_masked() {
    let secrets = json!({"homelab/moreira.dev/main": {"PIN": "123", "KEY": "first line of it\nsecond line of it\n"}});
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), ..Dev::default() });
    let script = r#"echo "$PIN"; echo "$KEY" | sed 's/^/> /'"#;
    let ran = run(&claviger, &["--mask", "--", "sh", "-c", script]);
    assert_eq!((ran.code, ran.text()), (Some(0), "123\n> ***\n> ***\n> \n"), "{ran:?}");
    assert_eq!(ran.stderr, "claviger: PIN is not masked: it is shorter than 4 bytes\n");
}

#[test]
fn keys_in_files_are_masked_too_and_removed_in_the_end() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let file = format!("GITHUB_TOKEN={}", path.display());
    let script = format!("cat {}; echo; echo \"[$GITHUB_TOKEN]\"", path.display());
    let ran = run(&claviger, &["--mask", "--file", &file, "--", "sh", "-c", &script]);
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "***\n[]\n", ""));
    assert_eq!(names(folder.path()), [""; 0]);
}

/// Starts it with pipes, and without `timeout`, which would receive the signals.
fn started(claviger: &Claviger, script: &str) -> Child {
    let command = exec(claviger, &["--mask", "--", "sh", "-c", script]);
    let arguments: Vec<_> = command.get_args().skip(4).map(ToOwned::to_owned).collect();
    let mut direct = std::process::Command::new(crate::rig::claviger::binary());
    direct.args(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_prompt_is_written_before_its_answer() {
    let claviger = Claviger::sample();
    let mut child = started(&claviger, r#"printf 'Name: '; read name; echo "hello $name $GITHUB_TOKEN""#);
    let mut out = child.stdout.take().unwrap();
    let mut prompt = [0; 6];
    out.read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt, b"Name: ");
    child.stdin.take().unwrap().write_all(b"you\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "hello you ***\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn signals_reach_the_command() {
    let claviger = Claviger::sample();
    for (signal, name) in [("TERM", "TERM"), ("INT", "INT"), ("HUP", "HUP"), ("USR1", "USR1")] {
        let script = format!("trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.05; done");
        let mut child = started(&claviger, &script);
        let mut out = child.stdout.take().unwrap();
        let mut ready = [0; 6];
        out.read_exact(&mut ready).unwrap();
        let status = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!((rest, child.wait().unwrap().code()), (format!("got {name}\n"), Some(3)), "{signal}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let claviger = Claviger::sample();
    let mut child = started(&claviger, "while echo line; do :; done; sleep 1");
    let mut first = [0; 5];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let mut ended = None;
    wait_until("its end", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert_ne!(ended.unwrap().code(), Some(0));
}

#[test]
fn a_slow_reader_gets_the_whole_output() {
    let claviger = Claviger::sample();
    let mut child = started(&claviger, "seq 1 20000");
    let mut out = child.stdout.take().unwrap();
    // Longer than the silence that ends the output of a command that has ended.
    std::thread::sleep(Duration::from_secs(3));
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.len(), child.wait().unwrap().code()), (108_894, Some(0)));
}

#[test]
fn a_signal_ends_the_wait_for_a_reader() {
    let claviger = Claviger::sample();
    let mut child = started(&claviger, "seq 1 20000");
    std::thread::sleep(Duration::from_secs(3));
    assert!(child.try_wait().unwrap().is_none(), "its reader has read nothing");
    let status = std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let mut ended = None;
    wait_until("its end", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(128 + 15));
}

#[test]
fn a_file_of_bytes_is_masked_in_every_encoding() {
    // Ten bytes that are not text.
    let secrets = json!({"homelab/moreira.dev/main": {"p12": "/u3+7QAAAAL/gA=="}});
    let secret = json!({"store": "local", "path": "homelab/{repo}/{branch}", "encoding": "base64"});
    let policy = json!({
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}],
        "repos": ["moreira.dev"], "branches": ["**"], "secrets": [secret],
    });
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), policies: &[("sample", policy)], ..Dev::default() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p12").display().to_string();
    for (script, expected) in [
        (format!("cat {path}"), "***"),
        (format!("base64 {path}"), "***\n"),
        (format!("od -An -v -tx1 {path} | tr -d ' \\n'"), "***"),
        (format!("head -c 9 {path} | base64"), "/u3+7QAAAAL/\n"),
    ] {
        let file = format!("p12={path}");
        let ran = run(&claviger, &["--mask", "--only", "p12", "--file", &file, "--", "sh", "-c", &script]);
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), expected, ""), "{script}");
    }
}
