//! A real External Secrets Operator at the control plane of the tests, one for the whole test binary. It has no webhook:
//! its definitions need none.

use super::installed::find_program;
use super::kube::{ControlPlane, Server, User, control_plane};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const GROUP: &str = "/apis/external-secrets.io/v1";
/// Long, because the machine may be busy compiling, and the operator waits after an error.
const SYNCED_WITHIN: Duration = Duration::from_secs(90);
/// A refresh with the operator's own retries.
const REFRESHED_WITHIN: Duration = Duration::from_secs(8);

/// A client for the operator's objects.
pub struct Eso {
    admin: Client,
}

/// The condition `Ready` of an object of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True` or `False` of the condition `Ready`.
    pub status: String,
    pub reason: String,
    pub message: String,
}

impl Eso {
    /// Starts the operator, unless it runs.
    pub async fn start() -> Self {
        static OPERATOR: OnceLock<Result<Server, String>> = OnceLock::new();
        let plane = control_plane();
        if let Err(why) = OPERATOR.get_or_init(|| operator(plane)) {
            panic!("{why}");
        }
        Self { admin: plane.client(User::Admin).await }
    }

    /// Applies manifests as `kubectl apply --server-side` does.
    pub async fn apply(&self, manifests: &[Value]) {
        for manifest in manifests {
            let path = format!("{}?fieldManager=test&force=true", path_of(manifest));
            // For a moment after their creation the definitions are not served.
            let deadline = Instant::now() + SYNCED_WITHIN;
            while let Err(error) = self.call(Method::PATCH, &path, "application/apply-patch+yaml", manifest).await {
                assert!(Instant::now() < deadline, "{manifest}: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// The values of a Secret, if there is one.
    pub async fn secret(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        use base64::Engine as _;
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let secret = self.call(Method::GET, &path, "application/json", &Value::Null).await.ok()?;
        let decode = |value: &Value| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let data = secret["data"].as_object().cloned().unwrap_or_default();
        Some(data.iter().map(|(key, value)| (key.clone(), decode(value))).collect())
    }

    /// Waits until a Secret has these values and its `ExternalSecret` is ready. The operator writes the condition last: after
    /// the values alone, `wait_until_failed` could still find an older condition `False`.
    pub async fn wait_until_synced(&self, namespace: &str, name: &str, expected: &[(&str, &str)]) {
        let expected = values(expected);
        let synced = async || {
            self.secret(namespace, name).await.filter(|found| *found == expected)?;
            self.condition(namespace, name).await.filter(|condition| condition.status == "True")
        };
        self.wait(namespace, name, synced).await;
    }

    /// Checks that a Secret has these values now.
    pub async fn assert_secret(&self, namespace: &str, name: &str, expected: &[(&str, &str)]) {
        assert_eq!(self.secret(namespace, name).await, Some(values(expected)), "{namespace}/{name}");
    }

    /// Waits until a Secret is deleted.
    pub async fn wait_until_removed(&self, namespace: &str, name: &str) {
        self.wait(namespace, name, async || self.secret(namespace, name).await.is_none().then_some(())).await;
    }

    /// Waits until an `ExternalSecret` could not be refreshed, and returns the condition. The refresh has then changed the
    /// Secret.
    pub async fn wait_until_failed(&self, namespace: &str, name: &str) -> Condition {
        let failed = async || self.condition(namespace, name).await.filter(|condition| condition.status == "False");
        self.wait(namespace, name, failed).await
    }

    /// Lets the operator refresh an `ExternalSecret` until a condition holds. Refreshes are rare, because a change of the
    /// object during a refresh prevents the operator from writing the result.
    async fn wait<T>(&self, namespace: &str, name: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + SYNCED_WITHIN;
        loop {
            self.refresh(namespace, name).await;
            let again = Instant::now() + REFRESHED_WITHIN;
            while Instant::now() < again {
                if let Some(found) = holds().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let (said, found) = (self.condition(namespace, name).await, self.secret(namespace, name).await);
            let keys = found.map(|found| found.into_keys().collect::<Vec<_>>());
            assert!(Instant::now() < deadline, "{namespace}/{name} has {keys:?} and the condition {said:?}");
        }
    }

    /// The condition of an `ExternalSecret`.
    pub async fn condition(&self, namespace: &str, name: &str) -> Option<Condition> {
        self.ready_condition(&format!("{GROUP}/namespaces/{namespace}/externalsecrets/{name}")).await
    }

    /// Waits for the condition of a `SecretStore`.
    pub async fn store_condition(&self, namespace: &str, name: &str) -> Condition {
        self.wait_for_condition(&format!("{GROUP}/namespaces/{namespace}/secretstores/{name}")).await
    }

    /// Waits for the condition of a `PushSecret`.
    pub async fn push_condition(&self, namespace: &str, name: &str) -> Condition {
        self.wait_for_condition(&format!("{GROUP}alpha1/namespaces/{namespace}/pushsecrets/{name}")).await
    }

    async fn wait_for_condition(&self, path: &str) -> Condition {
        let deadline = Instant::now() + SYNCED_WITHIN;
        loop {
            if let Some(condition) = self.ready_condition(path).await {
                return condition;
            }
            assert!(Instant::now() < deadline, "{path} has no condition");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The number of synced `ExternalSecrets` in these namespaces.
    pub async fn count_synced(&self, namespaces: &[String]) -> usize {
        let mut count = 0;
        for namespace in namespaces {
            let path = format!("{GROUP}/namespaces/{namespace}/externalsecrets");
            let list = self.call(Method::GET, &path, "application/json", &Value::Null).await.unwrap();
            let is_ready = |one: &&Value| {
                let conditions = one["status"]["conditions"].as_array();
                conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
            };
            count += list["items"].as_array().unwrap().iter().filter(is_ready).count();
        }
        count
    }

    async fn ready_condition(&self, path: &str) -> Option<Condition> {
        let object = self.call(Method::GET, path, "application/json", &Value::Null).await.ok()?;
        let condition = object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == "Ready")?.clone();
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
    }

    /// Lets the operator refresh an `ExternalSecret` now.
    async fn refresh(&self, namespace: &str, name: &str) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst).to_string();
        let patch = json!({"metadata": {"annotations": {"claviger.dev/refresh": number}}});
        let path = format!("{GROUP}/namespaces/{namespace}/externalsecrets/{name}");
        let _ = self.call(Method::PATCH, &path, "application/merge-patch+json", &patch).await;
    }

    /// Deletes what was applied, so that the operator stops working on it.
    pub async fn delete(&self, manifests: &[Value]) {
        for manifest in manifests.iter().rev() {
            let _ = self.call(Method::DELETE, &path_of(manifest), "application/json", &Value::Null).await;
        }
    }

    async fn call(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Result<Value, kube::Error> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        self.admin.request(request.body(body).unwrap()).await
    }
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn path_of(manifest: &Value) -> String {
    let plural = format!("{}s", manifest["kind"].as_str().unwrap().to_lowercase());
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let group = match manifest["apiVersion"].as_str().unwrap() {
        "v1" => "/api/v1".to_owned(),
        group => format!("/apis/{group}"),
    };
    match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{group}/{plural}/{name}"),
    }
}

fn operator(plane: &ControlPlane) -> Result<Server, String> {
    let program = find_program("eso/external-secrets")?;
    let mut kubectl = Command::new(find_program("kubectl")?);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
    kubectl.arg("--kubeconfig").arg(plane.kubeconfig(User::Admin)).arg("--cache-dir").arg(&folder);
    kubectl.args(["apply", "--server-side", "--validate=ignore", "-f"]).arg(program.with_file_name("crds.yaml"));
    let output = kubectl.output().map_err(|error| format!("kubectl: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| error.to_string())?.port();
    let arguments = [
        format!("--metrics-addr=127.0.0.1:{port}"),
        "--loglevel=debug".to_owned(),
        "--concurrent=4".to_owned(),
        "--store-requeue-interval=5s".to_owned(),
    ];
    let kubeconfig = plane.kubeconfig(User::Admin).display().to_string();
    Server::start_with(&program, &arguments, &folder, &[("KUBECONFIG".to_owned(), kubeconfig)])
}
