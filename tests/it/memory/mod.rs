//! The process's memory: no secrets in the clear, and no access by core files or debuggers.

mod scan;

use crate::rig::bao::Bao;
use crate::rig::claviger::{binary, wait_until};
use crate::rig::oidc::{TestServer, allow};
use claviger::model::request_id::RequestId;
use scan::Memory;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const REDEMPTIONS: usize = 1_000;
const SECRETS: usize = 100;
const FORMATS: [&str; 4] = ["export", "json", "dotenv", "tar"];

/// The common prefix of a test's canaries, which nothing else in the process contains.
fn canary_prefix() -> String {
    format!("canary{}", RequestId::random())
}

/// Serves secrets of a real OpenBao, each with one ordinary value and one that JSON has to escape; every tenth is
/// large.
async fn start_server(mark: &str, bao: &Bao) -> TestServer {
    for number in 0..SECRETS {
        let long = mark.repeat(if number % 10 == 0 { 2_000 } else { 1 });
        let values = [("PLAIN", format!("{mark}-{number}")), ("QUOTED", format!("'{mark}\n\"{long}"))];
        let json: Value = values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        bao.put_json(&format!("homelab/site/b{number}"), &json.to_string()).await;
    }
    let token = bao.ca_file().with_file_name("token");
    std::fs::write(&token, &bao.root).unwrap();
    let secrets = json!([{"store": "vault", "path": "homelab/{repo}/{branch}"}]);
    TestServer::start(
        &json!({"homelab/here": {"KEY": format!("{mark}-here")}}),
        &[("p", allow(&[], &json!({ "secrets": secrets })))],
        &json!({
            "stores": [{"name": "vault", "vault": {
                "address": bao.address, "caFile": bao.ca_file(), "auth": {"tokenFile": token},
            }}],
            // On a busy machine the scans take longer than a ticket lives by default.
            "tickets": {"ttl": "15m"},
        }),
        &[],
    )
}

fn redeem_a_thousand(server: &TestServer, mark: &str) {
    for number in 0..REDEMPTIONS {
        let path = server.download_path_for(&format!("repo=site&branch=b{}", number % SECRETS));
        let format = FORMATS[number / SECRETS % FORMATS.len()];
        // dotenv cannot express both kinds of quotes together with a newline: refused, and then fetched in another
        // format.
        let answer = server.download(&format!("{path}?format={format}"));
        let answer = if answer.status == 422 { server.download(&path) } else { answer };
        assert_eq!(answer.status, 200);
        assert!(String::from_utf8_lossy(&answer.body).contains(mark));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_thousand_redemptions_no_secret_is_in_memory() {
    let (mark, bao) = (canary_prefix(), Bao::start_tls().await);
    let server = start_server(&mark, &bao).await;
    redeem_a_thousand(&server, &mark);
    let spent = server.download_path_for("repo=site&branch=b0");
    assert_eq!(server.download(&spent).status, 200);
    // Sealed: tickets wait in memory, and leases in their cache.
    let waiting: Vec<String> =
        (0..SECRETS).map(|number| server.download_path_for(&format!("repo=site&branch=b{number}"))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let places = Memory::of(server.id()).occurrences_of(&mark);
    assert!(places.is_empty(), "{places:#?}");
    for (what, path) in [("redeemed", &spent), ("waiting", &waiting[0])] {
        let places = Memory::of(server.id()).occurrences_of(path.rsplit('.').next().unwrap());
        assert!(places.is_empty(), "the key of a ticket, {what}: {places:#?}");
    }
    // The tickets are still waiting.
    for path in waiting {
        assert!(server.download(&path).text().contains(&mark));
    }
}

#[test]
fn the_scan_finds_a_secret_that_is_in_memory() {
    let mark = canary_prefix();
    // The development store does not encrypt its file.
    let secrets = json!({"homelab/site/main": {"TOKEN": mark}});
    let server =
        TestServer::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    assert!(!Memory::of(server.id()).occurrences_of(&mark).is_empty());
}

/// A process that cannot read the memory of others, unlike root. Killed when dropped.
struct UnprivilegedProcess(Child);

/// Removes the capability to read other processes from the started program.
const UNPRIVILEGED: [&str; 2] = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];

impl UnprivilegedProcess {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(UNPRIVILEGED).arg(program).args(arguments);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }

    /// Whether another process of the same user can open its memory.
    fn is_readable(&self) -> bool {
        let mut look = Command::new("setpriv");
        let (input, status) = (format!("if={}", self.file("mem")), "status=none");
        look.args(UNPRIVILEGED).args(["dd", &input, "count=0", status]).output().unwrap().status.success()
    }

    fn core_limits(&self) -> Vec<String> {
        let limits = std::fs::read_to_string(self.file("limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    }
}

impl Drop for UnprivilegedProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn other_processes_cannot_read_the_memory_and_there_is_no_core_file() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let dev = ["dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--state", state];
    let claviger = UnprivilegedProcess::start(&binary(), &dev);
    wait_until("the state", || Path::new(state).join("admin-token").exists());
    assert_eq!(claviger.core_limits(), ["0", "0"]);
    assert!(!claviger.is_readable());

    // The control: the same attempt on a process without protection.
    let sleeping = UnprivilegedProcess::start(Path::new("sleep"), &["60"]);
    wait_until("the sleeper", || std::fs::read_to_string(sleeping.file("comm")).is_ok_and(|name| name == "sleep\n"));
    assert!(sleeping.is_readable());
}
