//! The provider's process: socket, signals, options and probe.

use super::{Provider, assert_refused, attributes_of, command, probe};
use crate::fetch::fake::{BUNDLE, Fake, bundle};
use crate::rig::claviger::wait_until;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use tonic::Code;

const UNREACHABLE_SERVER: &str = "http://127.0.0.1:1";

fn attributes() -> Value {
    // {"kubernetes.io":{"pod":{"uid":"u"}}}
    attributes_of("u", "e30.eyJrdWJlcm5ldGVzLmlvIjp7InBvZCI6eyJ1aWQiOiJ1In19fQ.c2ln", &json!({"file": "env"}))
}

#[tokio::test]
async fn after_kill_9_a_new_process_serves_on_the_same_socket() {
    let fake = Fake::start(|fake, request, _| {
        Some(if request.starts_with("POST ") { fake.ticket() } else { bundle(&[], BUNDLE) })
    });
    let mut provider = Provider::start(&fake.url());
    assert!(provider.mount(&attributes(), &json!({})).await.is_ok());
    provider.signal("KILL");
    provider.wait_for_exit();
    assert!(provider.socket().exists(), "the socket file is left behind");
    assert_eq!(probe(&provider.socket()).0, Some(1));
    assert!(provider.mount(&attributes(), &json!({})).await.is_err());
    provider.restart(&fake.url());
    assert!(provider.mount(&attributes(), &json!({})).await.is_ok());
}

#[tokio::test]
async fn sigterm_removes_the_socket_and_finishes_what_is_on_its_way() {
    let fake = Fake::start(|fake, request, _| {
        // Long enough for the signal to arrive during the mount.
        std::thread::sleep(Duration::from_millis(1500));
        Some(if request.starts_with("POST ") { fake.ticket() } else { bundle(&[], BUNDLE) })
    });
    let mut provider = Provider::start(&fake.url());
    let attributes = attributes();
    let secrets = json!({});
    let mount = provider.mount(&attributes, &secrets);
    let stop = async {
        tokio::time::timeout(Duration::from_secs(10), async {
            while fake.asked() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        provider.signal("TERM");
        while provider.socket().exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (mounted, ()) = tokio::join!(mount, stop);
    assert_eq!(mounted.unwrap().texts(), [("env", 0o444, BUNDLE)]);
    assert_eq!(provider.wait_for_exit().code(), Some(0));
    assert_eq!(crate::fetch::names(provider.folder.path()), ["log"]);
}

#[test]
fn the_socket_is_private_to_its_owner_and_a_newer_one_is_not_removed() {
    let mut old = Provider::start(UNREACHABLE_SERVER);
    let inode = || std::fs::metadata(old.socket()).unwrap().ino();
    assert_eq!(std::fs::metadata(old.socket()).unwrap().permissions().mode() & 0o7777, 0o600);
    let first = inode();
    let mut new = Provider::spawn(old.folder.path(), UNREACHABLE_SERVER, &[]);
    wait_until("the new socket", || inode() != first);
    old.signal("TERM");
    assert_eq!(old.wait_for_exit().code(), Some(0));
    assert_eq!(probe(&old.socket()), (Some(0), String::new()), "the socket belongs to the new process");
    new.kill().unwrap();
    new.wait().unwrap();
}

#[test]
fn the_probe_distinguishes_a_provider_from_other_servers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("claviger.sock");
    let (code, stderr) = probe(&socket);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("claviger: no provider answers on the socket: "), "{stderr}");
    let other = UnixListener::bind(&socket).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n").unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    assert_eq!(probe(&socket).0, Some(1));
    answering.join().unwrap();
}

/// Runs a provider that must fail to start. Returns exit code and standard error.
fn failed_start(socket: &Path, options: &[&str]) -> (Option<i32>, String) {
    let mut command = command(&[&["--socket", socket.to_str().unwrap()], options].concat());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_wrong_command_line_makes_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("claviger.sock");
    for (options, words) in [
        (&[][..], "--server"),
        (&["--server", "claviger"], "--server"),
        (&["--server", "http://claviger.claviger.svc:8080"], "--insecure"),
        (&["--server", UNREACHABLE_SERVER, "--timeout", "31s"], "from 1s to 30s"),
        (&["--server", UNREACHABLE_SERVER, "--timeout", "0s"], "from 1s to 30s"),
        (&["--server", "https://127.0.0.1:1", "--ca-file", "/no/such/file"], "--ca-file"),
        (&["--server", UNREACHABLE_SERVER, "--token-file", "/etc/passwd"], "--token-file"),
    ] {
        let (code, stderr) = failed_start(&socket, options);
        assert_eq!(code, Some(2), "{options:?}: {stderr}");
        assert!(stderr.contains(words), "{options:?}: {stderr}");
    }
    std::fs::write(folder.path().join("file"), "precious").unwrap();
    let (code, stderr) = failed_start(&folder.path().join("file"), &["--server", UNREACHABLE_SERVER]);
    assert_eq!((code, stderr.contains("exists, and is not a socket")), (Some(2), true), "{stderr}");
    assert_eq!(crate::fetch::names(folder.path()), ["file"]);
}

#[tokio::test]
async fn http_to_another_host_is_an_option() {
    // Not a loopback address, though it leads to this machine.
    let fake = Fake::start(|fake, request, _| {
        Some(if request.starts_with("POST ") { fake.ticket() } else { bundle(&[], BUNDLE) })
    });
    let elsewhere = format!("http://0.0.0.0:{}", fake.address.port());
    let provider = Provider::start_with(&elsewhere, &["--insecure"]);
    assert!(provider.mount(&attributes(), &json!({})).await.is_ok());
    let plain = Provider::start(UNREACHABLE_SERVER);
    assert_refused(plain.mount(&attributes(), &json!({})).await, Code::FailedPrecondition, "server_unreachable");
}
