//! The binary under test as a process: `dev` if no cluster is needed, else `serve`.

use super::http::{Answer, request};
use serde_json::{Value, json};
use sqlx::Connection as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long, because the machine may be busy compiling.
const STARTED_WITHIN: Duration = Duration::from_secs(20);
/// Tests send more requests than a build pod.
const LIMITS: [(&str, &str); 3] = [
    ("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "100000"),
    ("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "100000"),
    ("CLAVIGER__LIMITS__REVIEWSPERSECOND", "100000"),
];

/// A running Claviger. Killed when dropped.
pub struct Claviger {
    child: Child,
    pub api: SocketAddr,
    pub ops: SocketAddr,
    /// Its files; `claviger.db` is its database.
    pub folder: TempDir,
}

/// The options of `claviger dev`.
#[derive(Default)]
pub struct Dev<'a> {
    /// `{"path": {"KEY": "value"}}`.
    pub secrets: Option<Value>,
    /// Policy specs by name.
    pub policies: &'a [(&'a str, Value)],
    /// Overrides, as `CLAVIGER__SECTION__KEY`.
    pub environment: &'a [(&'a str, &'a str)],
}

/// A policy manifest.
pub fn manifest(name: &str, spec: &Value) -> String {
    json!({"apiVersion": "claviger.dev/v1alpha1", "kind": "Policy", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

/// Writes policies into a folder, one file each.
pub fn write_policies(folder: &Path, policies: &[(&str, Value)]) {
    fs::create_dir_all(folder).unwrap();
    for (name, spec) in policies {
        fs::write(folder.join(format!("{name}.yaml")), manifest(name, spec)).unwrap();
    }
}

impl Claviger {
    /// Starts `claviger dev` with the sample secrets and policy.
    pub fn sample() -> Self {
        Self::dev(&Dev::default())
    }

    /// Starts `claviger dev`.
    pub fn dev(dev: &Dev) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> =
            ["dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--state"].map(str::to_owned).into();
        arguments.push(folder.path().display().to_string());
        if let Some(secrets) = &dev.secrets {
            let file = folder.path().join("test-secrets.yaml");
            fs::write(&file, secrets.to_string()).unwrap();
            arguments.extend(["--secrets".into(), file.display().to_string()]);
        }
        if !dev.policies.is_empty() {
            let policies = folder.path().join("test-policies");
            write_policies(&policies, dev.policies);
            arguments.extend(["--policies".into(), policies.display().to_string()]);
        }
        Self::spawn(&binary(), folder, &arguments, dev.environment)
    }

    /// Starts `claviger serve`. By default it listens on free ports and keeps its database in its folder.
    pub fn serve(config: Value) -> Self {
        Self::serve_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same in a folder with files of the test.
    pub fn serve_in(folder: TempDir, config: Value) -> Self {
        Self::serve_with(folder, config, &[])
    }

    /// The same with overrides, as `CLAVIGER__SECTION__KEY`.
    pub fn serve_with(folder: TempDir, config: Value, environment: &[(&str, &str)]) -> Self {
        Self::serve_with_binary(&binary(), folder, config, environment)
    }

    /// The same with another build of the binary.
    pub fn serve_with_binary(binary: &Path, folder: TempDir, mut config: Value, environment: &[(&str, &str)]) -> Self {
        let defaults = json!({
            "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"},
            "database": {"url": format!("sqlite://{}", folder.path().join("claviger.db").display())},
        });
        for (section, keys) in defaults.as_object().unwrap() {
            for (key, value) in keys.as_object().unwrap() {
                let keys = config.as_object_mut().unwrap().entry(section).or_insert_with(|| json!({}));
                keys.as_object_mut().unwrap().entry(key).or_insert_with(|| value.clone());
            }
        }
        let file = folder.path().join("claviger.yaml");
        fs::write(&file, config.to_string()).unwrap();
        Self::spawn(binary, folder, &["serve".into(), "--config".into(), file.display().to_string()], environment)
    }

    fn spawn(binary: &Path, folder: TempDir, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command.args(arguments).envs(LIMITS).envs(environment.iter().copied());
        Self::spawn_command(folder, command)
    }

    /// Starts it with another command, which must serve.
    pub fn spawn_command(folder: TempDir, mut command: Command) -> Self {
        let child = command
            .env("CLAVIGER__TELEMETRY__LOGFORMAT", "json")
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout")).unwrap())
            .stderr(File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let mut claviger = Self { child, api: nowhere, ops: nowhere, folder };
        // Found by the field and not by the message, whose text differs in other builds (`load-tests/against`).
        let started = claviger.wait_for(&|line| line["api"].is_string(), "address");
        claviger.api = started["api"].as_str().unwrap().parse().unwrap();
        claviger.ops = started["ops"].as_str().unwrap().parse().unwrap();
        claviger
    }

    /// Waits until the log has a line with this message, and returns it.
    pub fn wait_for_line(&mut self, message: &str) -> Value {
        self.wait_for(&|line| line["message"].as_str().is_some_and(|text| text.contains(message)), message)
    }

    fn wait_for(&mut self, wanted: &dyn Fn(&Value) -> bool, message: &str) -> Value {
        let deadline = Instant::now() + STARTED_WITHIN;
        loop {
            let found = self.log().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(wanted);
            if let Some(line) = found {
                return line;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "claviger has ended:\n{}", self.log());
            assert!(Instant::now() < deadline, "no {message:?} in the log:\n{}", self.log());
            // Short, because the load test measures the start.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The number of log lines with this message.
    pub fn count_logged(&self, message: &str) -> usize {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message))).count()
    }

    /// The whole log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// The whole standard output: audit events and the output of `dev`.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    /// What `dev` prints, which it does after the line in the log that the start waits for.
    pub fn printed_commands(&self) -> String {
        wait_until("the printed commands", || self.stdout().contains("not for production"));
        self.stdout()
    }

    /// A token that `dev` wrote: `token` or `admin-token`.
    pub fn token(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Sends one request to the API listener.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(self.api, method, target, headers, body)
    }

    /// Requests a ticket with a form.
    pub fn ask(&self, token: &str, form: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", "/v1/tickets", &headers, form.as_bytes())
    }

    /// Requests a ticket as the sample caller of `dev`, and returns the path of its download.
    pub fn ticket(&self, repo: &str, branch: &str) -> String {
        let answer = self.ask(&self.token("token"), &format!("repo={repo}&branch={branch}"));
        assert_eq!(answer.status, 201, "{answer:?}\n{}", self.log());
        download_path(&answer)
    }

    /// Redeems a ticket.
    pub fn download(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Whether `/readyz` answers with 200.
    pub fn is_ready(&self) -> bool {
        request(self.ops, "GET", "/readyz", &[], b"").status == 200
    }

    /// The value of one series on `/metrics`, in the notation of Prometheus.
    pub fn metric(&self, series: &str) -> f64 {
        self.value_of(series).parse().unwrap()
    }

    /// The same for a counter, which is an integer.
    pub fn count(&self, series: &str) -> u64 {
        self.value_of(series).parse().unwrap()
    }

    fn value_of(&self, series: &str) -> String {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).to_owned()
    }

    /// Everything on `/metrics`.
    pub fn metrics(&self) -> String {
        request(self.ops, "GET", "/metrics", &[], b"").text()
    }

    /// The sum of all series of a counter.
    pub fn sum(&self, family: &str) -> u64 {
        let text = self.metrics();
        let of_family = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(of_family).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// The audit events in the database, in the order of writing.
    pub fn audit_events(&self) -> Vec<Value> {
        let texts = audit_texts(&self.folder.path().join("claviger.db"));
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// Executes SQL in its SQLite database.
    pub fn write(&self, sql: &'static str) {
        let url = format!("sqlite://{}", self.folder.path().join("claviger.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        });
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Its resident memory, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.proc_status("VmRSS:")
    }

    /// The memory that it has allocated and touched, in bytes. Its code, which is large in a debug build, does not count.
    pub fn anonymous_memory(&self) -> u64 {
        self.proc_status("RssAnon:")
    }

    fn proc_status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it has not ended within {within:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Claviger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The audit events in a database, as exactly the hashed texts.
pub fn audit_texts(database: &Path) -> Vec<String> {
    let url = format!("sqlite://{}?mode=ro", database.display());
    let read = async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let rows = sqlx::query_scalar::<_, String>("SELECT event FROM audit_events ORDER BY rowid");
        rows.fetch_all(&mut connection).await.unwrap()
    };
    // A separate thread, because the test may run inside a runtime.
    std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        scope.spawn(move || runtime.block_on(read)).join().unwrap()
    })
}

/// The events of a type.
pub fn events_of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// Polls until something has happened; fails after some seconds.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + STARTED_WITHIN;
    while !happened() {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The path in the `Location` of an answer.
pub fn download_path(answer: &Answer) -> String {
    let url = answer.header("location").unwrap();
    let (_, rest) = url.split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

/// Runs a command of the binary to its end: exit code, standard output, standard error. A command that serves
/// unexpectedly is killed, with code 137.
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let bounded = ["-s", "KILL", "30"].map(Path::new);
    let output = Command::new("timeout").args(bounded).arg(binary()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The binary under test. cargo gives its path to tests, but not to examples, which are in a folder beside it.
pub fn binary() -> PathBuf {
    option_env!("CARGO_BIN_EXE_claviger")
        .map_or_else(|| std::env::current_exe().unwrap().parent().unwrap().with_file_name("claviger"), PathBuf::from)
}
