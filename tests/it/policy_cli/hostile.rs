//! Malicious files, tokens and servers, and invalid command lines.

use super::{CliUser, policy, write, yaml};
use crate::rig::claviger::{Claviger, binary};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

#[test]
fn command_lines_that_are_wrong_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", "a.b.c").display().to_string();
    let server = ["--server", "http://127.0.0.1:1", "--token-file", &token];
    for wrong in [
        &[][..],
        &["lst"],
        &["list"],
        &["list", "--token", "hunter2"],
        &["list", "--server", "http://127.0.0.1:1"],
        &["list", "--server", "http://127.0.0.1:1/v1?x", "--token-file", &token],
        &["list", "--server", "http://user:hunter2@127.0.0.1:1", "--token-file", &token],
        &["list", "--server", "gopher://127.0.0.1:1", "--token-file", &token],
        &["list", "--server", "http://127.0.0.1:1", "--token-file", "/no/such/file"],
        &["list", "--server", "http://127.0.0.1:1", "--token-file", "/"],
        &["list", "--server", "https://127.0.0.1:1", "--token-file", &token, "--ca-file", &token],
        &[&["get", "../tickets"], &server[..]].concat(),
        &[&["delete", "a/b/revisions"], &server[..]].concat(),
        &[&["get", "a?dryRun=true"], &server[..]].concat(),
        &[&["apply"], &server[..]].concat(),
    ] {
        let (code, stdout, stderr) = policy(wrong);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{wrong:?} {stderr}");
        assert!(!stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn files_that_are_no_policies_are_usage_and_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", "a.b.c").display().to_string();
    let (a, b) = (yaml("a", "site"), yaml("b", "site"));
    let file = folder.path().join("p.yml");
    for (text, expected) in [
        (String::new(), "p.yml: has no policy"),
        ("a: [".into(), "p.yml: not well-formed"),
        ("[".repeat(10_000), "p.yml: not well-formed"),
        ("x".repeat(2 * 1024 * 1024), "p.yml: is larger than 1024 KiB"),
        ("hunter2".into(), "p.yml, document 1: "),
        ("{name: a, spec: {}}".into(), "p.yml, document 1: name: unknown key"),
        (a.replace("{name: a}", "{name: \"../../v1/tickets\"}"), "document 1: metadata.name: "),
        (a.replace("{name: a}", "{}"), "document 1: metadata.name: is missing"),
        (format!("{a}---\n{a}"), "document 2: metadata.name: is the name of another policy"),
        (format!("{a}---\n{}", b.replace("branches", "hunter2")), "document 2: spec.hunter2: unknown key"),
    ] {
        std::fs::write(&file, &text).unwrap();
        // No server listens at this address: a request would end with code 4.
        let server = ["--server", "http://127.0.0.1:1", "--token-file", &token];
        let (code, stdout, stderr) = policy(&[&["apply", "-f", &file.display().to_string()], &server[..]].concat());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(expected), "{expected}\n{stderr}");
        assert!(stderr.len() < 1000, "{stderr}");
    }
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    let (code, _, stderr) =
        policy(&["apply", "-f", &file.display().to_string(), "--server", "http://127.0.0.1:1", "--token-file", &token]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("is not UTF-8"), "{stderr}");
    let caller = write(folder.path(), "caller.yml", "{issuer: [hunter2], sevice: 1}").display().to_string();
    let server = ["--server", "http://127.0.0.1:1", "--token-file", &token];
    let (code, _, stderr) = policy(&[&["explain", "--caller-file", &caller], &server[..]].concat());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("caller.yml: issuer: ") && stderr.contains("caller.yml: sevice: unknown key"), "{stderr}");
}

#[test]
fn tokens_come_from_files_that_hold_one_and_from_the_environment_by_path() {
    let claviger = Claviger::sample();
    for (text, code) in [("", 2), ("\n", 2), ("a b", 2), ("a\r\nX-Evil: 1", 2), ("é", 2), ("hunter2", 3)] {
        write(claviger.folder.path(), "odd-token", text);
        let (got, _, stderr) = CliUser { claviger: &claviger, token: "odd-token" }.policy(&["list"]);
        assert_eq!(got, Some(code), "{text:?} {stderr}");
        assert!(!stderr.contains("hunter2") && !stderr.contains("Evil"), "{stderr}");
    }
    let output = Command::new(binary())
        .args(["policy", "list"])
        .env("CLAVIGER_URL", format!("http://{}/", claviger.api))
        .env("CLAVIGER_TOKEN_FILE", claviger.folder.path().join("admin-token"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let help = policy(&["list", "--help"]).1;
    assert!(help.contains("CLAVIGER_TOKEN_FILE"), "{help}");
}

/// A server that gives every request the same answer.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(10) {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn invalid_answers_of_servers_are_refused_and_redirects_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", "a.b.c").display().to_string();
    let evil = br#"HTTP/1.1 409 X
Content-Length: 93

{"type":"","title":"\u001b[2J\u202e","status":409,"code":"\u0007bell","detail":"a\nclaviger"}"#;
    let unavailable = br#"HTTP/1.1 503 X
Content-Length: 82

{"type":"","title":"Later.","status":503,"code":"database_unavailable","x":"yyyy"}"#;
    for (answer, code, expected) in [
        (&b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"[..], 1, "answered 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 1, "answered 200, and not as Claviger does"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", 4, "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900000000000\r\n\r\n{", 1, "too large"),
        (b"nonsense\r\n\r\n", 4, "cannot be reached"),
        (b"HTTP/1.1 403 X\r\nContent-Length: 6\r\n\r\n<html>", 3, "answered 403, and not as Claviger does"),
        (b"HTTP/1.1 502 X\r\nContent-Length: 6\r\n\r\n<html>", 4, "answered 502"),
        (b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", 1, "answered 404"),
        (evil, 1, "\\u{7}bell: \\u{1b}[2J\\u{202e} (a\\u{a}claviger)"),
        (unavailable, 4, "database_unavailable: Later."),
    ] {
        let server = format!("http://{}", answering(answer));
        let (got, stdout, stderr) = policy(&["get", "a", "--server", &server, "--token-file", &token]);
        assert_eq!((got, stdout.as_str()), (Some(code), ""), "{stderr}");
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{expected}: {stderr}");
        // In particular, `apply` does not take an unknown 404 for a free name.
        let file = write(folder.path(), "a.yml", &yaml("a", "site")).display().to_string();
        let (got, stdout, _) = policy(&["apply", "-f", &file, "--server", &server, "--token-file", &token]);
        assert_eq!((got, stdout.as_str()), (Some(code), ""));
    }
}

#[test]
fn a_list_without_an_end_ends() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", "a.b.c").display().to_string();
    let server = format!(
        "http://{}",
        answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 31\r\n\r\n{\"items\":[],\"continue\":\"a&b#c\"}\n")
    );
    let (code, stdout, stderr) = policy(&["list", "--server", &server, "--token-file", &token]);
    assert!(stderr.contains("does not end"), "{stderr}");
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
}
