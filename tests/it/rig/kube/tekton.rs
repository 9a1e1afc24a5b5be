//! Tekton's custom resources; the test acts as Tekton's controller, which alone writes a status.

use super::actors::{Kube, PodActor};
use crate::rig::json::set_members;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const SERVED_WITHIN: Duration = Duration::from_secs(20);

/// A build like Tekton's: a `PipelineRun`, its `TaskRun`, and the pod of the latter.
pub struct Build {
    pub pipeline_run: Run,
    pub task_run: Run,
    pub pod: PodActor,
}

/// A `TaskRun` or a `PipelineRun`.
pub struct Run {
    pub name: String,
    pub uid: String,
    version: String,
    kind: &'static str,
    namespace: String,
    admin: Client,
}

/// The objects of a genuine build; a test changes one part of them.
pub struct BuildSpec {
    /// The API version of all objects.
    pub version: &'static str,
    /// `spec.params` of the `PipelineRun`.
    pub params: Value,
    /// Merged into the pod's ownerReference.
    pub pod_owner: Value,
    /// Merged into the `TaskRun`'s ownerReference.
    pub task_run_owner: Value,
    /// Merged into the `TaskRun`'s status.
    pub task_run_status: Value,
    /// Merged into the `PipelineRun`'s status.
    pub pipeline_run_status: Value,
}

impl Default for BuildSpec {
    fn default() -> Self {
        Self {
            version: "v1",
            params: json!([{"name": "repo", "value": "site"}]),
            pod_owner: json!({}),
            task_run_owner: json!({}),
            task_run_status: json!({}),
            pipeline_run_status: json!({}),
        }
    }
}

impl Kube {
    /// A build of `NAMESPACE/SERVICEACCOUNT`.
    pub async fn build(&self, account: &str, spec_of_build: BuildSpec) -> Build {
        let (namespace, _) = self.create_service_account(account).await;
        let metadata = json!({"labels": {"team": "web"}, "annotations": {"note": "n"}});
        let spec = json!({"params": spec_of_build.params});
        let pipeline_run = self.run("PipelineRun", spec_of_build.version, &namespace, metadata, spec).await;
        let metadata =
            json!({"ownerReferences": [merged(pipeline_run.owner_reference(), &spec_of_build.task_run_owner)]});
        let task_run = self.run("TaskRun", spec_of_build.version, &namespace, metadata, json!({})).await;
        let metadata = json!({
            "labels": {
                "tekton.dev/pipelineRun": pipeline_run.name, "tekton.dev/pipelineRunUID": pipeline_run.uid,
                "tekton.dev/taskRun": task_run.name,
            },
            "ownerReferences": [merged(task_run.owner_reference(), &spec_of_build.pod_owner)],
        });
        let pod = self.pod_with(account, metadata).await;
        task_run.set_status(merged(json!({"podName": pod.name}), &spec_of_build.task_run_status)).await;
        pipeline_run.set_status(merged(task_run.as_child(), &spec_of_build.pipeline_run_status)).await;
        Build { pipeline_run, task_run, pod }
    }

    /// A run without a status.
    pub async fn run(&self, kind: &'static str, version: &str, namespace: &str, metadata: Value, spec: Value) -> Run {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        static SERVED: OnceCell<()> = OnceCell::const_new();
        SERVED.get_or_init(|| serve_kinds(&self.admin)).await;
        let mut run = Run {
            name: format!("run-{}", NUMBER.fetch_add(1, Ordering::SeqCst)),
            uid: String::new(),
            version: version.into(),
            kind,
            namespace: namespace.into(),
            admin: self.admin.clone(),
        };
        run.create(metadata, spec).await;
        run
    }
}

impl Run {
    /// The ownerReference for objects that it controls.
    pub fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": format!("tekton.dev/{}", self.version), "kind": self.kind,
            "name": self.name, "uid": self.uid, "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// The status of a `PipelineRun` that created it.
    pub fn as_child(&self) -> Value {
        json!({"childReferences": [{
            "apiVersion": format!("tekton.dev/{}", self.version), "kind": self.kind, "name": self.name,
            "pipelineTaskName": "build",
        }]})
    }

    /// Sets its status, like Tekton.
    pub async fn set_status(&self, status: Value) {
        self.patch_subresource("/status", &json!({"status": status})).await;
    }

    /// Patches it.
    pub async fn patch(&self, patch: Value) {
        self.patch_subresource("", &patch).await;
    }

    /// Its creation time according to the API server.
    pub async fn creation_time(&self) -> String {
        let run = call(&self.admin, Method::GET, &self.path(""), None).await.unwrap();
        run["metadata"]["creationTimestamp"].as_str().unwrap().to_owned()
    }

    /// Deletes it.
    pub async fn delete(&self) {
        call(&self.admin, Method::DELETE, &self.path(""), None).await.unwrap();
        assert!(call(&self.admin, Method::GET, &self.path(""), None).await.is_err());
    }

    /// Deletes it, and creates another one with its name.
    pub async fn replace(&self, metadata: Value, spec: Value) -> Run {
        self.delete().await;
        let mut other = Run {
            name: self.name.clone(),
            uid: String::new(),
            version: self.version.clone(),
            kind: self.kind,
            namespace: self.namespace.clone(),
            admin: self.admin.clone(),
        };
        other.create(metadata, spec).await;
        assert_ne!(other.uid, self.uid);
        other
    }

    async fn create(&mut self, mut metadata: Value, spec: Value) {
        metadata["name"] = self.name.as_str().into();
        let object = json!({
            "apiVersion": format!("tekton.dev/{}", self.version), "kind": self.kind,
            "metadata": metadata, "spec": spec,
        });
        let path = self.path("");
        let (collection, _) = path.rsplit_once('/').unwrap();
        let created = call(&self.admin, Method::POST, collection, Some(&object)).await.unwrap();
        created["metadata"]["uid"].as_str().unwrap().clone_into(&mut self.uid);
    }

    async fn patch_subresource(&self, subresource: &str, patch: &Value) {
        call(&self.admin, Method::PATCH, &self.path(subresource), Some(patch)).await.unwrap();
    }

    fn path(&self, subresource: &str) -> String {
        let Self { version, namespace, name, .. } = self;
        format!("/apis/tekton.dev/{version}/namespaces/{namespace}/{}s/{name}{subresource}", self.kind.to_lowercase())
    }
}

fn merged(mut whole: Value, patch: &Value) -> Value {
    set_members(&mut whole, patch);
    whole
}

/// The custom resource definitions: both versions, any content, with a status subresource.
async fn serve_kinds(admin: &Client) {
    for kind in ["TaskRun", "PipelineRun"] {
        let plural = format!("{}s", kind.to_lowercase());
        let version = |name: &&str| {
            let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            json!({"name": name, "served": true, "storage": *name == "v1", "subresources": {"status": {}},
                   "schema": {"openAPIV3Schema": open}})
        };
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.tekton.dev")},
            "spec": {
                "group": "tekton.dev", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": VERSIONS.iter().map(version).collect::<Vec<_>>(),
            },
        });
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        call(admin, Method::POST, path, Some(&definition)).await.unwrap();
        for version in VERSIONS {
            let path = format!("/apis/tekton.dev/{version}/namespaces/default/{plural}");
            let deadline = Instant::now() + SERVED_WITHIN;
            while call(admin, Method::GET, &path, None).await.is_err() {
                assert!(Instant::now() < deadline, "{path} is not served");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn call(admin: &Client, method: Method, path: &str, body: Option<&Value>) -> Result<Value, kube::Error> {
    let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", content_type);
    admin.request(request.body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default()).unwrap()).await
}
