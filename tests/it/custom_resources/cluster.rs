//! A cluster with the custom resource definitions, and a broker that reads policies from it. Two control planes for all tests of
//! this kind. One test at a time has each, because a broker reads the objects of a whole cluster.

use crate::chart::rendered::{Rendered, render_values};
use crate::rig::claviger::{Claviger, run, wait_until};
use crate::rig::installed::program;
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::{ControlPlane, User};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// A cluster without policies.
pub struct PolicyCluster {
    /// The administrator's client.
    pub kube: Kube,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// A control plane that tests share.
struct SharedPlane {
    plane: OnceLock<ControlPlane>,
    alone: Mutex<()>,
    /// Whether the definitions and permissions are installed.
    is_prepared: AtomicBool,
}

impl SharedPlane {
    const fn new() -> Self {
        Self { plane: OnceLock::new(), alone: Mutex::const_new(()), is_prepared: AtomicBool::new(false) }
    }
}

/// The output of `kubectl`.
#[derive(Debug)]
pub struct KubectlOutput {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl PolicyCluster {
    /// A shared cluster, emptied; one test at a time has it.
    pub async fn exclusive() -> Self {
        static SHARED: [SharedPlane; 2] = [SharedPlane::new(), SharedPlane::new()];
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let shared = &SHARED[NEXT.fetch_add(1, Ordering::Relaxed) % SHARED.len()];
        let alone = shared.alone.lock().await;
        let plane = shared.plane.get_or_init(|| ControlPlane::start(&[]).unwrap_or_else(|why| panic!("{why}")));
        let cluster = Self { kube: Kube::of(plane).await, _alone: Some(alone) };
        if !shared.is_prepared.load(Ordering::Relaxed) {
            cluster.install_definitions();
            cluster.install_permissions().await;
            shared.is_prepared.store(true, Ordering::Relaxed);
        }
        let kinds = "policies.claviger.dev,clusterpolicies.claviger.dev";
        cluster.kubectl(&["delete", kinds, "--all", "--all-namespaces", "--wait=true"]).succeeded();
        cluster.kubectl(&["delete", "lease", "-n", "claviger", "--all"]).succeeded();
        cluster
    }

    /// A separate cluster without definitions and permissions.
    pub async fn without_definitions() -> Self {
        let plane = ControlPlane::start(&[]).unwrap_or_else(|why| panic!("{why}"));
        Self { kube: Kube::of(Box::leak(Box::new(plane))).await, _alone: None }
    }

    /// Installs what `claviger crds` prints.
    pub fn install_definitions(&self) {
        let (code, definitions, err) = run(&["crds"]);
        assert_eq!(code, Some(0), "{err}");
        self.kubectl_with(&["apply", "--server-side", "-f", "-"], &definitions).succeeded();
        for name in ["policies.claviger.dev", "clusterpolicies.claviger.dev"] {
            let established = format!("crd/{name}");
            self.kubectl(&["wait", "--for=condition=Established", &established, "--timeout=30s"]).succeeded();
        }
    }

    /// Grants the permissions that the chart gives to a broker that reads policies.
    pub async fn install_permissions(&self) {
        self.kube.unbound_token("claviger/claviger", "any").await; // makes the namespace
        let rendered = with_custom_resources();
        let of_chart = |kind: &str, name: &str| rendered.find(kind, name).unwrap_or_else(|| panic!("{name}")).clone();
        let objects = [
            of_chart("ClusterRole", "claviger-rel-claviger-policies"),
            of_chart("Role", "rel-claviger-policy-status"),
            bound(of_chart("ClusterRoleBinding", "claviger-rel-claviger-policies")),
            bound(of_chart("RoleBinding", "rel-claviger-policy-status")),
        ];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl_with(&["apply", "--server-side", "-f", "-"], &list.to_string()).succeeded();
    }

    /// A configuration that reads the policies of this cluster; team namespaces have what is below `teams`.
    pub fn config(&self) -> Value {
        Self::config_with(&self.kube.plane.kubeconfig(User::Broker))
    }

    /// The same with another kubeconfig.
    pub fn config_with(kubeconfig: &Path) -> Value {
        json!({
            "authenticators": [{"name": "cluster", "kubernetes": {"kubeconfig": kubeconfig, "cacheTtl": "1s"}}],
            "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
            "policies": {
                "customResources": ["cluster"],
                "tenants": [{
                    "namespaces": ["team-*"], "ceiling": [{"store": "local", "pathPrefix": "teams/{namespace}"}],
                }],
            },
            "tickets": {"maxLivePerPod": 100_000},
        })
    }

    /// Starts a broker.
    pub fn serve(config: Value) -> Claviger {
        let folder = tempfile::tempdir().unwrap();
        let secrets = json!({
            "homelab/site/main": {"KEY": "of-homelab"},
            "teams/team-a/site/main": {"KEY": "of-team-a"},
            "teams/team-b/site/main": {"KEY": "of-team-b"},
        });
        fs::write(folder.path().join("secrets.yaml"), secrets.to_string()).unwrap();
        Claviger::serve_in(folder, config)
    }

    /// Runs `kubectl` as the cluster's administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> KubectlOutput {
        self.kubectl_with(arguments, "")
    }

    /// The same with an input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> KubectlOutput {
        let plane = self.kube.plane;
        let mut kubectl = Command::new(program("kubectl"));
        kubectl
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(User::Admin))
            .arg("--cache-dir")
            .arg(plane.folder())
            .args(arguments);
        let mut child = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        KubectlOutput { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Applies an object as a `GitOps` controller does.
    pub fn apply(&self, object: &Value) -> KubectlOutput {
        self.kubectl_with(&["apply", "--server-side", "--field-manager=gitops", "-f", "-"], &object.to_string())
    }

    /// The condition `Ready` of an object's current generation: status, reason, message.
    pub fn condition(&self, object: &Value) -> (String, String, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.get(object);
            let (generation, condition) = (&found["metadata"]["generation"], &found["status"]["conditions"][0]);
            if condition["observedGeneration"] == *generation {
                assert_eq!(found["status"]["observedGeneration"], *generation, "{found:#}");
                assert_eq!(condition["type"], "Ready");
                return ["status", "reason", "message"]
                    .map(|field| condition[field].as_str().unwrap().to_owned())
                    .into();
            }
            assert!(Instant::now() < deadline, "no status: {found:#}");
            sleep(Duration::from_millis(50));
        }
    }

    /// The stored object. It is read repeatedly, and `kubectl` would take half a second of CPU time for each answer.
    fn get(&self, object: &Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("/apis/claviger.dev/v1alpha1/namespaces/{namespace}/policies/{name}"),
            None => format!("/apis/claviger.dev/v1alpha1/clusterpolicies/{name}"),
        };
        let ask = async {
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            self.kube.plane.client(User::Admin).await.request(request).await.unwrap()
        };
        // The caller is not async and is called in another runtime.
        let on_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(ask);
        scope(|scope| scope.spawn(on_thread).join().unwrap())
    }

    /// Waits until the condition of an object has this reason.
    pub fn wait_for_reason(&self, object: &Value, reason: &str) -> String {
        let mut last = String::new();
        wait_until(reason, || {
            let (_, now, message) = self.condition(object);
            last = message;
            now == reason
        });
        last
    }

    /// A running pod.
    pub async fn pod(&self, account: &str) -> PodActor {
        self.kube.pod(account).await
    }
}

impl KubectlOutput {
    /// Checks that it succeeded; returns standard output.
    pub fn succeeded(self) -> String {
        assert!(self.ok, "{self:?}");
        self.out
    }

    /// Checks that it failed; returns standard error.
    pub fn failed(self) -> String {
        assert!(!self.ok, "{self:?}");
        self.err
    }
}

/// The chart with custom resources.
pub fn with_custom_resources() -> Rendered {
    let config = json!({
        "authenticators": [{"name": "cluster", "kubernetes": {"audience": "claviger"}}],
        "stores": [{"name": "vault", "vault": {"address": "https://vault:8200", "auth": {"tokenFile": "/token"}}}],
        "policies": {"customResources": ["cluster"]},
    });
    render_values(&json!({"config": config})).unwrap()
}

/// The rig's broker is a user by a static token.
fn bound(mut binding: Value) -> Value {
    binding["subjects"] =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User::Broker.name()}]);
    binding
}

/// A policy of the cluster for `ci/build-bot`.
pub fn cluster_policy(name: &str, repo: &str) -> Value {
    json!({
        "apiVersion": "claviger.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {
            "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
            "repos": [repo], "branches": ["main"],
            "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}"}],
        },
    })
}

/// A policy of a namespace for its `build-bot`.
pub fn policy(namespace: &str, name: &str, path: &str) -> Value {
    json!({
        "apiVersion": "claviger.dev/v1alpha1", "kind": "Policy", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "subjects": [{"kubernetes": {"serviceAccounts": ["build-bot"]}}],
            "repos": ["site"], "branches": ["main"], "secrets": [{"store": "local", "path": path}],
        },
    })
}
