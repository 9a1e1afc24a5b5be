//! The chart's admission policy on the shared API server: active for one test at a time, with requests by any
//! user. The tests' own user has the name of Tekton's controller, so other tests are not affected.

use super::actors::Kube;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// The name of policy and binding.
pub const NAME: &str = "tekton-owners.claviger.dev";
/// A user that no policy names.
pub const MALLORY: &str = "system:serviceaccount:ci:mallory";
/// API servers notice policies by watching.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

/// The single policy and binding; one test at a time may set them.
pub struct AdmissionPolicy {
    admin: Client,
    _alone: MutexGuard<'static, ()>,
}

impl AdmissionPolicy {
    /// Waits for its turn; then there is no policy.
    pub async fn absent(kube: &Kube) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let here = Self { admin: kube.admin.clone(), _alone: ALONE.lock().await };
        for resource in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
            let _ = send(&here.admin, None, Method::DELETE, &path(resource), &Value::Null).await;
        }
        here.is_until(false).await;
        here
    }

    /// Waits for its turn, and activates the rendered policy.
    pub async fn in_force(kube: &Kube, rendered: &[&Value]) -> Self {
        let here = Self::absent(kube).await;
        for object in rendered {
            here.put(object).await;
        }
        here.is_until(true).await;
        here
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

    /// Waits until a pod that claims an invented run is refused, or is accepted.
    pub async fn is_until(&self, refused: bool) {
        let owner = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "probe", "uid": "probe"});
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        // All caches of the API server must agree: the policy, the binding and the compiled policy.
        while pod(&self.admin, MALLORY, "default?dryRun=All", json!([owner])).await.is_err() != refused {
            assert!(Instant::now() < deadline, "the admission policy did not become as expected: {refused}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn path(resource: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/{resource}/{NAME}")
}

/// A user with all permissions creates a pod with these owners.
async fn pod(admin: &Client, user: &str, namespace: &str, owners: Value) -> Result<Value, kube::Error> {
    let (namespace, query) = namespace.split_once('?').unwrap_or((namespace, ""));
    let body = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "any-", "ownerReferences": owners},
        "spec": {"serviceAccountName": "build-bot", "containers": [{"name": "build", "image": "scratch"}]},
    });
    send(admin, Some(user), Method::POST, &format!("/api/v1/namespaces/{namespace}/pods?{query}"), &body).await
}

impl Kube {
    /// The answer to a user with all permissions: the object, or status and message.
    pub async fn as_user(&self, user: &str, method: Method, path: &str, body: &Value) -> Result<Value, (u16, String)> {
        told(send(&self.admin, Some(user), method, path, body).await)
    }

    /// A user with all permissions creates a pod with these owners.
    pub async fn pod_by(&self, user: &str, namespace: &str, owners: Value) -> Result<Value, (u16, String)> {
        told(pod(&self.admin, user, namespace, owners).await)
    }
}

fn told(answer: Result<Value, kube::Error>) -> Result<Value, (u16, String)> {
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
