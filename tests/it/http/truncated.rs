//! Truncated answers: no documented way of downloading accepts one as a bundle, or as an
//! empty one.

use crate::rig::claviger::{Claviger, Dev, download_path};
use crate::rig::http::parse;
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// The recorded answers of a real server, and where they are truncated.
#[derive(Clone, Default)]
struct Answers {
    ticket: Vec<u8>,
    download: Vec<u8>,
}

/// Sends the recorded answers, and closes the connection after each.
struct Proxy {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), answers: Arc::default() };
        let answers = proxy.answers.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let request = whole_request(&mut stream);
                let answers = answers.lock().unwrap().clone();
                let bytes = if request.starts_with(b"POST") { answers.ticket } else { answers.download };
                let _ = stream.write_all(&bytes);
            }
        });
        proxy
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn set(&self, ticket: &[u8], download: &[u8]) {
        *self.answers.lock().unwrap() = Answers { ticket: ticket.to_vec(), download: download.to_vec() };
    }
}

fn length_of(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    Some(end + length)
}

/// Reads one request or answer completely from a connection that stays open.
fn whole_request(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    while length_of(&bytes).is_none_or(|length| bytes.len() < length) {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend(&buffer[..count]),
            _ => break,
        }
    }
    bytes
}

/// The bytes of a real answer on a keep-alive connection.
fn record(claviger: &Claviger, method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(claviger.api).unwrap();
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}{length}\r\n{body}", claviger.api);
    stream.write_all(request.as_bytes()).unwrap();
    whole_request(&mut stream)
}

/// A server whose ticket URLs lead to the proxy, and its recorded answers.
struct Recorded {
    proxy: Proxy,
    claviger: Claviger,
}

impl Recorded {
    fn start() -> Self {
        let proxy = Proxy::start();
        let url = proxy.url();
        let environment = [("CLAVIGER__SERVER__PUBLICURL", url.as_str())];
        let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
        Self { proxy, claviger }
    }

    fn ticket(&self, branch: &str) -> Vec<u8> {
        let token = self.claviger.token("token");
        let headers = format!(
            "Authorization: Bearer {token}\r\nAccept: text/plain\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        record(&self.claviger, "POST", "/v1/tickets", &headers, &format!("repo=moreira.dev&branch={branch}"))
    }

    fn download(&self, branch: &str, format: &str) -> Vec<u8> {
        let path = download_path(&parse(&self.ticket(branch)));
        record(&self.claviger, "GET", &format!("{path}?format={format}"), "", "")
    }
}

/// Whether commands exit with 0 in a shell in an empty folder.
fn exits_with_0(lines: &str, folder: &Path, environment: &[(&str, &str)]) -> bool {
    for name in ["build-env", "head", "build-env.head"] {
        let _ = fs::remove_file(folder.join(name));
    }
    let mut shell = Command::new("sh");
    // A truncated URL may name another host, for which no proxy may answer.
    shell.args(["-c", lines]).current_dir(folder).envs(environment.iter().copied()).env("no_proxy", "*");
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Truncates each answer at every byte, and checks that the commands exit with 0 only for complete answers.
fn assert_truncation_detected(
    recorded: &Recorded,
    lines: &str,
    environment: &[(&str, &str)],
    ticket: &[u8],
    download: &[u8],
) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build-env");
    recorded.proxy.set(ticket, download);
    assert!(exits_with_0(lines, folder.path(), environment), "all came: {lines}");
    assert_eq!(fs::read(&file).unwrap_or_default(), parse(download).body, "{lines}");
    for cut in 0..download.len() {
        recorded.proxy.set(ticket, &download[..cut]);
        assert!(!exits_with_0(lines, folder.path(), environment), "{cut} of {} bytes: {lines}", download.len());
    }
    // The real server's answer to a truncated ticket URL.
    let unknown = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    for cut in 0..ticket.len() {
        recorded.proxy.set(&ticket[..cut], unknown);
        assert!(!exits_with_0(lines, folder.path(), environment), "{cut} of {} bytes: {lines}", ticket.len());
    }
}

/// The commands of docs/CLIENT.md, with the pod's folders placed in `folder`.
fn documented(folder: &Path) -> String {
    let document = include_str!("../../../docs/CLIENT.md");
    let (_, section) = document.split_once("## `curl` alone\n").unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block
        .replace("/var/run/secrets/claviger/token", &folder.join("token").display().to_string())
        .replace("/secrets/", "")
}

#[test]
fn the_documented_commands_distinguish_a_truncated_answer_from_an_empty_bundle() {
    let recorded = Recorded::start();
    let lines = documented(recorded.claviger.folder.path());
    let url = recorded.proxy.url();
    let environment = [("REPO", "moreira.dev"), ("BRANCH", "main"), ("CLAVIGER_URL", url.as_str())];
    let ticket = recorded.ticket("main");
    assert_truncation_detected(&recorded, &lines, &environment, &ticket, &recorded.download("main", "export"));
    // An empty bundle is complete at the end of its head.
    let empty = recorded.download("other", "export");
    assert_eq!(parse(&empty).body, b"");
    assert_truncation_detected(&recorded, &lines, &environment, &ticket, &empty);
}

#[test]
fn the_last_line_detects_truncation_in_every_format() {
    let recorded = Recorded::start();
    let url = format!("{}/v1/downloads/x", recorded.proxy.url());
    let folder = tempfile::tempdir().unwrap();
    let line = "curl -fsS \"$URL\" -o build-env -D head && tail -n 1 head | grep -q '^.$' || exit 1";
    for format in ["json", "tar"] {
        let download = recorded.download("main", format);
        let body = parse(&download).body.len();
        recorded.proxy.set(b"", &download);
        assert!(exits_with_0(line, folder.path(), &[("URL", &url)]), "{format}");
        // Every byte of the head, and some of the body.
        let cuts = (0..download.len()).filter(|cut| *cut <= download.len() - body || cut % 97 == 0);
        for cut in cuts.filter(|cut| *cut < download.len()) {
            recorded.proxy.set(b"", &download[..cut]);
            assert!(!exits_with_0(line, folder.path(), &[("URL", &url)]), "{cut} bytes of {format}");
        }
    }
}

#[test]
fn the_commands_that_dev_prints_detect_truncation() {
    let recorded = Recorded::start();
    let said = recorded.claviger.printed_commands();
    let line = |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let ask = line("URL=").replace(&recorded.claviger.api.to_string(), &recorded.proxy.address.to_string());
    let lines = format!("{ask}\n{}", line("curl ").replace(" && ", " > build-env && "));
    assert_truncation_detected(&recorded, &lines, &[], &recorded.ticket("main"), &recorded.download("main", "export"));
}

#[test]
fn the_task_for_curl_detects_truncation() {
    let recorded = Recorded::start();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/claviger/tekton/task-claviger-curl.yaml");
    let task: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let steps = task["spec"]["steps"].as_array().unwrap();
    let fetch = steps.iter().find(|step| step["name"] == "fetch").unwrap();
    let (url, token) = (recorded.proxy.url(), recorded.claviger.folder.path().join("token").display().to_string());
    let environment = [
        ("REPO", "moreira.dev"),
        ("BRANCH", "main"),
        ("CLAVIGER_URL", url.as_str()),
        ("INSECURE", "true"),
        ("CA_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        ("TOKEN", token.as_str()),
        ("SECRETS", "build-env"),
        ("MODE", "0600"),
    ];
    let script = fetch["script"].as_str().unwrap();
    assert_truncation_detected(
        &recorded,
        script,
        &environment,
        &recorded.ticket("main"),
        &recorded.download("main", "export"),
    );
}

/// The reason for this file: curl alone accepts an answer that ends after its status line as an empty file.
#[test]
fn curl_alone_accepts_a_truncated_head_as_an_empty_file_only_before_the_length() {
    let recorded = Recorded::start();
    let download = recorded.download("main", "export");
    let url = format!("{}/v1/downloads/x", recorded.proxy.url());
    let folder = tempfile::tempdir().unwrap();
    let taken: Vec<usize> = (0..download.len())
        .filter(|cut| {
            recorded.proxy.set(b"", &download[..*cut]);
            exits_with_0("curl -fsS \"$URL\" -o build-env", folder.path(), &[("URL", &url)])
        })
        .collect();
    let end_of_length = download.windows(2).enumerate().filter(|(_, two)| *two == b"\r\n").nth(1).unwrap().0 + 2;
    assert!(!taken.is_empty() && taken.iter().all(|cut| *cut < end_of_length), "{end_of_length}: {taken:?}");
}

#[test]
fn the_length_is_the_first_header_of_every_answer() {
    let recorded = Recorded::start();
    let claviger = &recorded.claviger;
    let token = format!("Authorization: Bearer {}\r\n", claviger.token("token"));
    let admin = format!("Authorization: Bearer {}\r\n", claviger.token("admin-token"));
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let ask = format!("{token}{form}");
    let site = "repo=moreira.dev&branch=main";
    let path = download_path(&parse(&recorded.ticket("main")));
    let mut answers = vec![
        (201, recorded.ticket("main")),
        (201, record(claviger, "POST", "/v1/tickets", &ask, site)),
        (400, record(claviger, "POST", "/v1/tickets", &ask, "repo=%")),
        (401, record(claviger, "POST", "/v1/tickets", form, site)),
        (403, record(claviger, "POST", "/v1/tickets", &ask, "repo=other&branch=main")),
        (200, record(claviger, "POST", "/v1/secrets", &ask, site)),
        (404, record(claviger, "GET", "/nowhere", "", "")),
        (404, record(claviger, "GET", "/v1/downloads/x", "", "")),
        (415, record(claviger, "POST", "/v1/tickets", &token, site)),
        (422, record(claviger, "GET", &format!("{path}?format=netrc"), "", "")),
        (403, record(claviger, "GET", &path, "Purpose: prefetch\r\n", "")),
        (405, record(claviger, "PUT", &path, "", "")),
        (200, record(claviger, "GET", &path, "", "")),
        (410, record(claviger, "GET", &path, "", "")),
        (200, record(claviger, "GET", "/v1/policies", &admin, "")),
        (200, record(claviger, "GET", "/v1/audit", &admin, "")),
        (200, record(claviger, "GET", "/openapi.json", "", "")),
        (200, record(claviger, "GET", "/docs", "", "")),
    ];
    for format in ["export", "dotenv-expand", "json", "tar"] {
        answers.push((200, recorded.download("main", format)));
        answers.push((200, recorded.download("other", format)));
    }
    for (status, bytes) in answers {
        let answer = parse(&bytes);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.headers[0], ("content-length".into(), answer.body.len().to_string()), "{answer:?}");
        assert_eq!(answer.headers.iter().filter(|(name, _)| name == "content-length").count(), 1, "{answer:?}");
    }
    let lines = format!("{admin}Accept: application/x-ndjson\r\nConnection: close\r\n");
    let lines = record(claviger, "GET", "/v1/audit", &lines, "");
    assert!(lines.starts_with(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"), "{lines:.99?}");
    let options = record(claviger, "OPTIONS", "/v1/policies", "", "");
    assert_eq!(parse(&options).header("content-length"), None);
}
