//! A real OTLP receiver that prints what it receives.

use super::claviger::wait_until;
use super::installed::program;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Maximum number of start attempts: another test may take a free port before the server binds it.
const START_ATTEMPTS: usize = 5;

/// A running receiver. Killed when dropped.
pub struct Rotel {
    child: Child,
    /// `http://127.0.0.1:P`.
    pub address: String,
    folder: TempDir,
}

/// A received span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub name: String,
    pub attributes: BTreeMap<String, String>,
}

impl Rotel {
    pub fn start() -> Self {
        for _ in 0..START_ATTEMPTS {
            let folder = tempfile::tempdir().unwrap();
            let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
            let [grpc, http] = ports.map(|listener| listener.local_addr().unwrap());
            let child = Command::new(program("rotel-agent"))
                .args([
                    "start",
                    "--exporter",
                    "blackhole",
                    "--debug-log",
                    "traces",
                    "--debug-log-verbosity",
                    "detailed",
                ])
                .arg(format!("--otlp-grpc-endpoint={grpc}"))
                .arg(format!("--otlp-http-endpoint={http}"))
                .arg(format!("--pid-file={}", folder.path().join("pid").display()))
                .arg(format!("--log-file={}", folder.path().join("log").display()))
                .stdin(Stdio::null())
                .stdout(File::create(folder.path().join("out")).unwrap())
                .stderr(Stdio::null())
                .spawn()
                .expect("rotel-agent can be run");
            let mut rotel = Self { child, address: format!("http://{http}"), folder };
            let mut ended = false;
            wait_until("rotel", || {
                ended = rotel.child.try_wait().unwrap().is_some();
                ended || TcpStream::connect(http).is_ok()
            });
            if !ended {
                return rotel;
            }
        }
        panic!("rotel did not start on {START_ATTEMPTS} different ports");
    }

    /// The whole output, which contains every attribute.
    pub fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    /// The spans it has received.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for line in self.text().lines() {
            let line = line.trim();
            if line.starts_with("Span #") {
                spans.push(Span::default());
            } else if line.starts_with("ResourceSpans #") {
                // What follows, up to the next span, belongs to the resource.
                spans.push(Span::default());
            } else if let Some(span) = spans.last_mut() {
                let told =
                    |name: &str| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned());
                if let Some(id) = told("Trace ID") {
                    span.trace = id;
                } else if let Some(id) = told("Parent ID") {
                    span.parent = id;
                } else if let Some(id) = told("ID") {
                    span.id = id;
                } else if let Some(name) = told("Name") {
                    span.name = name;
                } else if let Some((name, value)) = line.strip_prefix("-> ").and_then(|pair| pair.split_once(": ")) {
                    span.attributes.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        spans.retain(|span| !span.id.is_empty());
        spans
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
