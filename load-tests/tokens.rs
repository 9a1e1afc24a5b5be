//! New tokens: created by the real API server for many pods, each used once.

use crate::connection::{Server, request};
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::tekton;
use crate::rig::kube::{User, control_plane};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Number of pods that the tokens are bound to.
const PODS: usize = 50;
/// Number of concurrent token requests.
const MINTS: usize = 8;

/// The pods and a client of the API server.
pub struct Mint {
    pods: Vec<PodActor>,
    api: Server,
    admin: String,
    /// This API server's tokens have no unique number: tokens of one pod created within one second differ only in
    /// their expiry.
    lives: AtomicU64,
}

/// Tokens, each with the pod that it is bound to.
pub type Pool = Arc<Mutex<Vec<(String, String)>>>;

impl Mint {
    /// Makes the pods.
    pub async fn new(kube: &Kube) -> Self {
        let mut pods = Vec::new();
        for _ in 0..PODS {
            pods.push(kube.pod("ci/build-bot").await);
        }
        Self::of(pods)
    }

    /// Makes pods of Tekton's runs, each with a `TaskRun` and a `PipelineRun` of its own.
    pub async fn of_runs(kube: &Kube, count: usize) -> Self {
        let build = |_| async { kube.build("runs/build-bot", tekton::BuildSpec::default()).await.pod };
        Self::of(stream::iter(0..count).map(build).buffer_unordered(MINTS).collect().await)
    }

    fn of(pods: Vec<PodActor>) -> Self {
        Self { pods, api: api_server(), admin: bearer_of(User::Admin), lives: AtomicU64::new(600) }
    }

    /// Fills a pool with new tokens for an audience.
    pub async fn fill(self: &Arc<Self>, pool: &Pool, audience: &'static str, count: usize) {
        pool.lock().unwrap().clear();
        let mints = (0..MINTS).map(|mint| {
            let (this, pool) = (self.clone(), pool.clone());
            tokio::spawn(async move {
                let mut connection = this.api.connect().await;
                for number in (mint..count).step_by(MINTS) {
                    let pod = &this.pods[number % this.pods.len()];
                    let request = this.asks_for_a_token(pod, audience);
                    let reply = connection.exchange(&request).await.unwrap();
                    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(reply.body));
                    let answer: Value = serde_json::from_slice(reply.body).unwrap();
                    let token = answer["status"]["token"].as_str().unwrap().to_owned();
                    pool.lock().unwrap().push((token, pod.name.clone()));
                }
            })
        });
        for mint in mints.collect::<Vec<_>>() {
            mint.await.unwrap();
        }
    }

    fn asks_for_a_token(&self, pod: &PodActor, audience: &str) -> Vec<u8> {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", pod.namespace, pod.service_account);
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid});
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        let spec = json!({"audiences": [audience], "boundObjectRef": bound, "expirationSeconds": life});
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}).to_string();
        let headers = [("Authorization", self.admin.as_str()), ("Content-Type", "application/json")];
        request("POST", &path, &headers, &body)
    }
}

/// The API server, over TLS.
pub fn api_server() -> Server {
    let plane = control_plane();
    Server::tls(([127, 0, 0, 1], plane.port()).into(), &plane.ca())
}

/// The `Authorization` header of one of its users.
pub fn bearer_of(user: User) -> String {
    let kubeconfig = std::fs::read_to_string(control_plane().kubeconfig(user)).unwrap();
    let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
    format!("Bearer {}", kubeconfig["users"][0]["user"]["token"].as_str().unwrap())
}
