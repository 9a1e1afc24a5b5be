//! The chart's admission policy on the shared API server: active for one test at a time, with requests by any
//! user. The tests' own user has the name of Tekton's controller, so other tests are not affected.

use super::actors::Kube;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// The name of policy and binding.
pub const POLICY_NAME: &str = "tekton-owners.claviger.dev";
/// A user that no policy names.
pub const MALLORY: &str = "system:serviceaccount:ci:mallory";
/// API servers notice policies by watching.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

/// The single policy and binding; one test at a time may set them.
pub struct AdmissionPolicy {
    admin: Client,
    _exclusive: MutexGuard<'static, ()>,
}

impl AdmissionPolicy {
    /// Waits until no other test uses the policy, and removes it.
    pub async fn absent(kube: &Kube) -> Self {
        static EXCLUSIVE: Mutex<()> = Mutex::const_new(());
        let policy = Self { admin: kube.admin.clone(), _exclusive: EXCLUSIVE.lock().await };
        for resource in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
            let _ = send(&policy.admin, None, Method::DELETE, &path(resource), &Value::Null).await;
        }
        policy.wait_until_enforced(false).await;
        policy
    }

    /// The same, and activates the rendered policy.
    pub async fn in_force(kube: &Kube, rendered: &[&Value]) -> Self {
        let policy = Self::absent(kube).await;
        for object in rendered {
            policy.put(object).await;
        }
        policy.wait_until_enforced(true).await;
        policy
    }

    /// Creates or replaces the policy or the binding.
    pub async fn put(&self, object: &Value) {
        let resource = match object["kind"].as_str().unwrap() {
            "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
            kind => &format!("{}s", kind.to_lowercase()),
        };
        let _ = send(&self.admin, None, Method::DELETE, &path(resource), &Value::Null).await;
        let collection = path(resource);
        let (collection, _) = collection.rsplit_once('/').unwrap();
        send(&self.admin, None, Method::POST, collection, object).await.unwrap();
    }

    /// Waits until a pod that claims an invented run is refused, or until it is accepted.
    pub async fn wait_until_enforced(&self, refused: bool) {
        let owner = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "probe", "uid": "probe"});
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        // All caches of the API server must agree: the policy, the binding and the compiled policy.
        while pod(&self.admin, MALLORY, "default?dryRun=All", json!([owner])).await.is_err() != refused {
            assert!(Instant::now() < deadline, "the admission policy did not change: expected refusals: {refused}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn path(resource: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/{resource}/{POLICY_NAME}")
}

/// Creates a pod with these owners, as a user with all permissions.
async fn pod(admin: &Client, user: &str, namespace: &str, owners: Value) -> Result<Value, kube::Error> {
    let (namespace, query) = namespace.split_once('?').unwrap_or((namespace, ""));
    let body = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "any-", "ownerReferences": owners},
        "spec": {"serviceAccountName": "build-bot", "containers": [{"name": "build", "image": "scratch"}]},
    });
    send(admin, Some(user), Method::POST, &format!("/api/v1/namespaces/{namespace}/pods?{query}"), &body).await
}

impl Kube {
    /// Sends a request as a user with all permissions. Returns the object, or status and message.
    pub async fn send_as(&self, user: &str, method: Method, path: &str, body: &Value) -> Result<Value, (u16, String)> {
        api_result(send(&self.admin, Some(user), method, path, body).await)
    }

    /// Creates a pod with these owners, as a user with all permissions.
    pub async fn create_pod_as(&self, user: &str, namespace: &str, owners: Value) -> Result<Value, (u16, String)> {
        api_result(pod(&self.admin, user, namespace, owners).await)
    }
}

fn api_result(answer: Result<Value, kube::Error>) -> Result<Value, (u16, String)> {
    answer.map_err(|error| match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("{other}"),
    })
}

async fn send(
    admin: &Client,
    user: Option<&str>,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::builder().method(method).uri(path).header("content-type", content_type);
    if let Some(user) = user {
        request = request.header("impersonate-user", user).header("impersonate-group", "system:masters");
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    admin.request(request.body(body).unwrap()).await
}
