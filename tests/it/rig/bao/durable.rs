//! An OpenBao with storage on disk, so that it can be killed and restarted; after a restart it is sealed, like a
//! real one.

use super::{Bao, START_ATTEMPTS, client, command_without_environment, free_ports, until};
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::process::Child;

impl Bao {
    /// Starts an unsealed server with a KV v2 mount named `homelab`.
    pub async fn start_durable() -> Self {
        for _ in 0..START_ATTEMPTS {
            let mut bao = Self::set_up();
            if bao.answers().await {
                bao.initialise().await;
                bao.unseal().await;
                bao.enable_kv_v2("homelab").await;
                return bao;
            }
        }
        panic!("OpenBao did not start on {START_ATTEMPTS} different ports");
    }

    /// Starts it again after a stop. It is sealed then.
    pub async fn restart(&mut self) {
        self.child = run(self.dir.path());
        assert!(self.answers().await, "OpenBao did not start again");
    }

    /// Unseals it and waits until it serves.
    pub async fn unseal(&self) {
        let key = std::fs::read_to_string(self.dir.path().join("unseal-key")).unwrap();
        self.ok(Method::PUT, "sys/unseal", &json!({ "key": key }).to_string()).await;
        until("the server to serve", async || self.call(Method::GET, "sys/health", "").await.0 == 200).await;
    }

    fn set_up() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_ports());
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let config = json!({
            "storage": {"raft": {"path": dir.path().join("data"), "node_id": "one", "performance_multiplier": 1}},
            "listener": {"tcp": {"address": format!("127.0.0.1:{port}"), "tls_disable": true}},
            "api_addr": format!("http://127.0.0.1:{port}"),
            "cluster_addr": format!("http://127.0.0.1:{}", port + 1),
        });
        std::fs::write(dir.path().join("server.json"), config.to_string()).unwrap();
        let address = format!("http://127.0.0.1:{port}");
        Self { child: run(dir.path()), address, root: String::new(), dir, http: client(&[]) }
    }

    /// Whether it answers at all. False if it exits, for instance because its port is in use.
    async fn answers(&mut self) -> bool {
        self.wait_until_up(async |bao| bao.try_call(Method::GET, "sys/seal-status", "").await.is_ok()).await
    }

    async fn initialise(&mut self) {
        let keys = self.ok(Method::PUT, "sys/init", r#"{"secret_shares":1,"secret_threshold":1}"#).await;
        self.root = keys["root_token"].as_str().unwrap().into();
        std::fs::write(self.dir.path().join("unseal-key"), keys["keys_base64"][0].as_str().unwrap()).unwrap();
    }
}

fn run(home: &Path) -> Child {
    let config = format!("-config={}", home.join("server.json").display());
    command_without_environment(home).args(["server", &config]).spawn().expect("bao can be run")
}
