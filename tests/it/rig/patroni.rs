//! Patroni, which fails PostgreSQL over: two nodes, with etcd as their store. Each node is a Patroni process and the
//! server that it runs.

use super::installed::{find_control_plane_program, program};
use super::keep_alive::Client;
use super::postgres::{BINARIES, as_postgres_user, children_of, free_port, guard, server_folder, url_of};
use claviger::model::request_id::RequestId;
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Patroni's `ttl` is 30 s: a lost primary is replaced after that at the latest.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// A cluster.
pub struct Patroni {
    etcd: Child,
    etcd_folder: tempfile::TempDir,
    nodes: [Node; 2],
    password: String,
}

struct Node {
    folder: PathBuf,
    port: u16,
    api: u16,
    running: Option<(Child, Child)>,
}

impl Patroni {
    /// Starts two nodes, of which one is the primary and the other its synchronous standby.
    pub fn start() -> Self {
        let (etcd_folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let url = format!("http://127.0.0.1:{port}");
        let etcd = Command::new(find_control_plane_program("etcd").unwrap())
            .arg(format!("--data-dir={}", etcd_folder.path().join("data").display()))
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{}", free_port()))
            .stdout(Stdio::null())
            .stderr(File::create(etcd_folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let password = RequestId::random().to_string();
        let node = || Node { folder: server_folder().unwrap(), port: free_port(), api: free_port(), running: None };
        let mut patroni = Self { etcd, etcd_folder, nodes: [node(), node()], password };
        for number in 0..2 {
            patroni.nodes[number].configure(number, port, &patroni.password);
        }
        patroni.nodes[0].run();
        patroni.wait("a primary", |patroni| patroni.nodes[0].is("primary"));
        patroni.nodes[1].run();
        patroni.wait_for_a_standby();
        patroni
    }

    /// The number of the primary.
    pub fn primary(&self) -> Option<usize> {
        (0..2).find(|number| self.nodes[*number].is("primary"))
    }

    /// Kills a node, Patroni and server, as if its machine were lost.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
    }

    /// Starts a killed node, and waits until it is the synchronous standby.
    pub fn start_again(&mut self, number: usize) {
        self.nodes[number].run();
        self.wait_for_a_standby();
    }

    /// The URL of a database at one node.
    pub fn url_at(&self, number: usize, database: &str) -> String {
        url_of("claviger", &self.password, self.nodes[number].port, database)
    }

    /// The URL of a database with the addresses of both nodes.
    pub fn url(&self, database: &str) -> String {
        let [first, second] = &self.nodes;
        let here = format!("127.0.0.1:{}", first.port);
        let both = format!("{here},127.0.0.1:{}", second.port);
        self.url_at(0, database).replace(&here, &both) + "&target_session_attrs=read-write"
    }

    fn wait_for_a_standby(&self) {
        self.wait("a synchronous standby", |patroni| patroni.nodes.iter().any(|node| node.is("sync")));
    }

    fn wait(&self, what: &str, happened: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + READY_WITHIN;
        while !happened(self) {
            let log = |node: &Node| fs::read_to_string(node.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no {what}:\n{}\n\n{}", log(&self.nodes[0]), log(&self.nodes[1]));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Node {
    fn configure(&self, number: usize, etcd: u16, password: &str) {
        let user = |name: &str| json!({"username": name, "password": password});
        let config = json!({
            "scope": "claviger",
            "name": format!("node-{number}"),
            "restapi": {"listen": format!("127.0.0.1:{}", self.api), "connect_address": format!("127.0.0.1:{}", self.api)},
            "etcd3": {"host": format!("127.0.0.1:{etcd}")},
            "bootstrap": {
                // Patroni's defaults, and synchronous replication.
                "dcs": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "synchronous_mode": true,
                    "postgresql": {"use_pg_rewind": true, "parameters": {"max_connections": 200}}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": format!("127.0.0.1:{}", self.port),
                "connect_address": format!("127.0.0.1:{}", self.port),
                "data_dir": self.folder.join("data"),
                "bin_dir": BINARIES,
                "pgpass": self.folder.join("pgpass"),
                "authentication": {"superuser": user("claviger"), "replication": user("replicator")},
                "parameters": {"unix_socket_directories": self.folder},
                "pg_hba": ["host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256",
                    "local all all scram-sha-256"],
            },
        });
        // YAML is a superset of JSON.
        fs::write(self.folder.join("patroni.yaml"), config.to_string()).unwrap();
        let packages = program("patroni/patroni/__init__.py");
        let packages = packages.parent().and_then(Path::parent).unwrap();
        // The user postgres cannot read the folder of this user.
        let copied = Command::new("cp").arg("-rL").arg(packages).arg(self.folder.join("packages")).status().unwrap();
        assert!(copied.success());
        let open = Command::new("chmod").args(["-R", "a+rX"]).arg(&self.folder).status().unwrap();
        assert!(open.success());
        assert!(Command::new("chmod").arg("700").arg(&self.folder).status().unwrap().success());
    }

    fn run(&mut self) {
        let log = File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        // env skips an interpreter that this user may not run, such as one in the folder of root.
        let child = as_postgres_user("/usr/bin/env")
            .args(["python3", "-m", "patroni"])
            .arg(self.folder.join("patroni.yaml"))
            .env("PYTHONPATH", self.folder.join("packages"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let guardian = guard(&child, &self.folder).unwrap();
        self.running = Some((child, guardian));
    }

    /// Whether the node has this role, according to its own API.
    fn is(&self, role: &str) -> bool {
        let request = format!("GET /{role} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let Ok(mut client) = Client::new(([127, 0, 0, 1], self.api).into()) else { return false };
        client.exchange(&request).is_ok_and(|(status, _)| status == 200)
    }

    fn kill(&mut self) {
        let Some((mut patroni, mut guardian)) = self.running.take() else { return };
        let _ = guardian.kill();
        let _ = guardian.wait();
        // First Patroni, which would start the server again.
        let _ = patroni.kill();
        let _ = patroni.wait();
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let Some(server) = file.lines().next().and_then(|line| line.parse().ok()) else { return };
        let processes = std::iter::once(server).chain(children_of(server)).map(|id| id.to_string());
        let _ = Command::new("kill").args(["-s", "KILL"]).args(processes).status();
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
            let _ = fs::remove_dir_all(&node.folder);
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
        let _ = fs::remove_dir_all(self.etcd_folder.path());
    }
}
