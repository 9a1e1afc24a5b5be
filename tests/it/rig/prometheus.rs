//! A real Prometheus that scrapes and evaluates every second, and promtool.

use super::bao::until;
use super::installed::program;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Maximum number of start attempts: another test may take a free port before the server binds it.
const START_ATTEMPTS: usize = 5;

/// A running server. Killed when dropped.
pub struct Prometheus {
    child: Child,
    /// `http://127.0.0.1:P`.
    pub address: String,
    folder: TempDir,
    http: Client,
}

/// One series of an answer.
#[derive(Debug)]
pub struct Sample {
    /// Its labels.
    pub labels: serde_json::Map<String, Value>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts a server with these rules. It scrapes the targets of [`Self::scrape`].
    pub async fn start(rules: &str) -> Self {
        for _ in 0..START_ATTEMPTS {
            let mut prometheus = Self::spawn(rules);
            if prometheus.is_up().await {
                return prometheus;
            }
        }
        panic!("Prometheus did not start on {START_ATTEMPTS} different ports");
    }

    /// Sets the targets.
    pub fn scrape(&self, targets: &[SocketAddr]) {
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        // Replaced by a rename, so that no partial file is read.
        let fresh = self.folder.path().join("fresh");
        fs::write(&fresh, json!([{"targets": targets}]).to_string()).unwrap();
        fs::rename(fresh, self.folder.path().join("targets.json")).unwrap();
    }

    /// The current result of an expression.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let url = format!("{}/api/v1/query", self.address);
        let url = Url::parse_with_params(&url, [("query", expression)]).unwrap();
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {text}");
        let sample = |series: &Value| Sample {
            labels: series["metric"].as_object().unwrap().clone(),
            value: series["value"][1].as_str().unwrap().parse().unwrap(),
        };
        answer["data"]["result"].as_array().unwrap().iter().map(sample).collect()
    }

    /// The names of the firing alerts, each once, in order.
    pub async fn firing(&self) -> Vec<String> {
        let firing = self.query(r#"count by (alertname) (ALERTS{alertstate="firing"})"#).await;
        let mut names: Vec<String> =
            firing.iter().map(|sample| sample.labels["alertname"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Waits until an alert fires.
    pub async fn fires(&self, alert: &str) {
        until(alert, async || self.firing().await.iter().any(|name| name == alert)).await;
    }

    fn spawn(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("rules.yaml"), rules).unwrap();
        fs::write(at("targets.json"), "[]").unwrap();
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [at("rules.yaml")],
            "scrape_configs": [{"job_name": "claviger", "file_sd_configs": [{"files": [at("targets.json")]}]}],
        });
        fs::write(at("prometheus.yaml"), config.to_string()).unwrap();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", at("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap())
            .spawn()
            .expect("prometheus can be run");
        let http = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}"), folder, http }
    }

    /// Whether it starts. False if it exits, for instance because its port is in use.
    async fn is_up(&mut self) -> bool {
        let ready = format!("{}/-/ready", self.address);
        for _ in 0..200 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.http.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs promtool, and fails if it reports an error.
pub fn promtool(arguments: &[&str], stdin: Option<&Path>) -> String {
    let stdin = stdin.map_or_else(Stdio::null, |file| File::open(file).unwrap().into());
    let output = Command::new(program("promtool")).args(arguments).stdin(stdin).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}
