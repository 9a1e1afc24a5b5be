//! An installation as in a cluster: Claviger between a real API server and a real OpenBao, with minimal
//! permissions.

use super::bao::Bao;
use super::claviger::{Claviger, download_path, write_policies};
use super::http::Answer;
use super::kube::actors::{Kube, PodActor};
use super::kube::{DEFAULT_AUDIENCE, User};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// The broker's permissions at the store: everything below `homelab` except the closed paths.
const ACL: &str = r#"
path "homelab/data/*" { capabilities = ["read"] }
path "homelab/data/closed/*" { capabilities = ["deny"] }
"#;

/// The parts of an installation; the broker is not started yet.
pub struct InstallationSetup {
    /// The API server.
    pub kube: Kube,
    /// The store.
    pub bao: Bao,
    /// The folder of the configuration, its policies and its tokens.
    pub folder: TempDir,
    /// The configuration, with an authenticator and a store.
    pub config: Value,
}

/// A running installation.
pub struct Installation {
    /// The API server.
    pub kube: Kube,
    /// The store.
    pub bao: Bao,
    /// The broker.
    pub claviger: Claviger,
}

/// A build pod of an installation.
pub struct BuildPod<'a> {
    /// The pod.
    pub pod: PodActor,
    claviger: &'a Claviger,
}

/// The answer to a build pod.
pub struct TicketAnswer<'a> {
    /// The answer.
    pub answer: Answer,
    claviger: &'a Claviger,
}

impl InstallationSetup {
    /// Starts the API server and an OpenBao, and lets the broker log in there with its ServiceAccount token.
    pub async fn new() -> Self {
        Self::with(Bao::start().await).await
    }

    /// The same with another OpenBao.
    pub async fn with(bao: Bao) -> Self {
        let kube = Kube::start().await;
        let host = format!("https://127.0.0.1:{}", kube.plane.port());
        let reviewer = kube.unbound_token("claviger/reviewer", DEFAULT_AUDIENCE).await;
        bao.enable_kubernetes_auth(&host, &kube.plane.ca(), &reviewer).await;
        bao.policy("claviger", ACL).await;
        bao.kubernetes_role("claviger", ["claviger", "claviger"], &["claviger"]).await;

        let folder = tempfile::tempdir().unwrap();
        let own_token = kube.unbound_token("claviger/claviger", "openbao").await;
        fs::write(folder.path().join("vault-token"), own_token).unwrap();
        write_policies(&folder.path().join("policies"), &[("site-builds", site_builds())]);
        let config = json!({
            "authenticators": [{
                "name": "cluster",
                "kubernetes": {"kubeconfig": kube.plane.kubeconfig(User::Broker), "cacheTtl": "10s"},
            }],
            "stores": [{"name": "vault", "vault": {
                "address": bao.address,
                "auth": {"kubernetes": {"role": "claviger", "tokenFile": "vault-token"}},
            }}],
            "policies": {"directory": "policies"},
            // Tests request many tickets and redeem few.
            "tickets": {"maxLivePerPod": 100_000},
        });
        Self { kube, bao, folder, config }
    }

    /// Adds a policy.
    pub fn policy(&self, name: &str, spec: Value) {
        write_policies(&self.folder.path().join("policies"), &[(name, spec)]);
    }

    /// Sets the lifetimes of the caches.
    pub fn cache(&mut self, settings: Value) {
        self.config["stores"][0]["vault"]["cache"] = settings;
    }

    /// Starts the broker.
    pub fn start(self) -> Installation {
        let claviger = Claviger::serve_in(self.folder, self.config);
        Installation { kube: self.kube, bao: self.bao, claviger }
    }
}

impl Installation {
    /// Starts an installation with the default [`InstallationSetup`].
    pub async fn start() -> Self {
        InstallationSetup::new().await.start()
    }

    /// A new pod of `NAMESPACE/SERVICEACCOUNT`.
    pub async fn pod(&self, account: &str) -> BuildPod<'_> {
        BuildPod { pod: self.kube.pod(account).await, claviger: &self.claviger }
    }
}

impl<'a> BuildPod<'a> {
    /// Requests the secrets of a repo and a branch with its token.
    pub fn asks(&self, repo: &str, branch: &str) -> TicketAnswer<'a> {
        self.asks_with(&self.pod.token, repo, branch)
    }

    /// Requests with another token.
    pub fn asks_with(&self, token: &str, repo: &str, branch: &str) -> TicketAnswer<'a> {
        let answer = self.claviger.ask(token, &format!("repo={repo}&branch={branch}"));
        TicketAnswer { answer, claviger: self.claviger }
    }
}

impl TicketAnswer<'_> {
    /// The path of the ticket it got.
    pub fn ticket(&self) -> String {
        assert_eq!(self.answer.status, 201, "{:?}\n{}", self.answer, self.claviger.log());
        download_path(&self.answer)
    }

    /// Redeems the ticket it got.
    pub fn download(&self) -> Answer {
        let download = self.claviger.download(&self.ticket());
        assert_eq!(download.status, 200, "{download:?}\n{}", self.claviger.log());
        download
    }

    /// The downloaded file.
    pub fn file(&self) -> String {
        self.download().text()
    }

    /// Checks status and error code of a refusal.
    pub fn assert_refused(self, status: u16, code: &str) -> Answer {
        let told = (self.answer.status, self.answer.code());
        assert_eq!((told.0, told.1.as_str()), (status, code), "{:?}\n{}", self.answer, self.claviger.log());
        self.answer
    }
}

/// The secrets of one team: shared, for its repo, and for its branch, in this order.
fn site_builds() -> Value {
    json!({
        "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
        "repos": ["site"],
        "branches": ["main", "feature/*"],
        "secrets": [
            {"store": "vault", "path": "homelab/shared"},
            {"store": "vault", "path": "homelab/{repo}/default"},
            {"store": "vault", "path": "homelab/{repo}/{branch}"},
        ],
    })
}
