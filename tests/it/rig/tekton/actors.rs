//! The actors in a cluster with Tekton: developers who start runs, the kubelet, and an attacker who may create any
//! object.

use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::admission::MALLORY;
use claviger::model::clock::{Clock as _, SystemClock};
use http::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The user who starts runs.
const DEVELOPER: &str = "alice";
/// The controller of the loops. No admission policy names it.
pub const LOOP_CONTROLLER: &str = "system:serviceaccount:loops:controller";
/// Long, because Tekton's controller becomes the leader during the first test.
const WITHIN: Duration = Duration::from_secs(90);

/// A namespace for a test, in which `build-bot` builds.
pub struct TektonNamespace {
    pub kube: Kube,
    pub name: String,
}

/// A Tekton run or a pod.
#[derive(Clone)]
pub struct ObjectRef {
    pub kind: &'static str,
    pub name: String,
    pub uid: String,
}

impl TektonNamespace {
    /// Creates a namespace, with or without the admission policy.
    pub async fn create(kube: Kube, with_admission_policy: bool) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("builds-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let created = Self { kube, name };
        let labels = json!({"guarded": if with_admission_policy { "yes" } else { "no" }});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                               "metadata": {"name": created.name, "labels": labels}});
        created.kube.send_as(DEVELOPER, Method::POST, "/api/v1/namespaces", &namespace).await.unwrap();
        for name in ["build-bot", "default"] {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
            created.create_as(DEVELOPER, &account).await.unwrap();
        }
        created
    }

    /// A developer starts a run of these tasks, with the params `repo` and, by default, `branch`.
    pub async fn start_pipeline_run(&self, name: &str, repo: &str, tasks: Value, finally: Value) -> ObjectRef {
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name},
            "spec": {
                "params": [{"name": "repo", "value": repo}],
                "taskRunTemplate": {"serviceAccountName": "build-bot"},
                "pipelineSpec": {
                    "params": [{"name": "repo"}, {"name": "branch", "default": "main"}],
                    "tasks": tasks, "finally": finally,
                },
            },
        });
        self.create_when_ready(DEVELOPER, "PipelineRun", &run).await
    }

    /// A developer starts a single Task in the same way.
    pub async fn start_task_run(&self, name: &str, repo: &str) -> ObjectRef {
        let mut spec = step();
        spec["params"] = json!([{"name": "repo"}, {"name": "branch", "default": "main"}]);
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name},
            "spec": {"params": [{"name": "repo", "value": repo}], "serviceAccountName": "build-bot", "taskSpec": spec},
        });
        self.create_when_ready(DEVELOPER, "TaskRun", &run).await
    }

    async fn create_when_ready(&self, user: &str, kind: &'static str, object: &Value) -> ObjectRef {
        let deadline = Instant::now() + WITHIN;
        loop {
            // The webhook is not ready at once.
            match self.create_as(user, object).await {
                Ok(made) => return object_ref(kind, &made),
                Err((500.., _)) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    /// A user creates an object: the object, or status and message.
    pub async fn create_as(&self, user: &str, object: &Value) -> Result<Value, (u16, String)> {
        self.kube.send_as(user, Method::POST, &self.path(object["kind"].as_str().unwrap(), ""), object).await
    }

    /// Mallory, the attacker, creates a `TaskRun` that claims a task of a run.
    pub async fn forge_task_run(&self, name: &str, run: &ObjectRef, task: &str) -> Result<Value, (u16, String)> {
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {
                "name": name, "ownerReferences": [owner(run)],
                "labels": {"tekton.dev/pipelineRun": run.name, "tekton.dev/pipelineRunUID": run.uid,
                           "tekton.dev/pipelineTask": task, "tekton.dev/memberOf": "tasks"},
            },
            "spec": {"serviceAccountName": "build-bot", "taskSpec": step()},
        });
        self.create_as(MALLORY, &run).await
    }

    /// The controller of a loop creates the `TaskRun` of one iteration: the `CustomRun` is its owner, and it has the labels of
    /// the `CustomRun`.
    pub async fn create_iteration(
        &self,
        user: &str,
        name: &str,
        loop_run: &ObjectRef,
        repo: &str,
    ) -> Result<Value, (u16, String)> {
        let labels = self.wait_for("CustomRun", &loop_run.name, |found| found["metadata"].get("labels").cloned()).await;
        let mut spec = step();
        spec["params"] = json!([{"name": "repo"}, {"name": "branch", "default": "main"}]);
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "ownerReferences": [owner(loop_run)], "labels": labels},
            "spec": {"params": [{"name": "repo", "value": repo}], "serviceAccountName": "build-bot", "taskSpec": spec},
        });
        self.create_as(user, &run).await
    }

    /// Finishes a `CustomRun` as its controller, as documented for Tekton's custom tasks.
    pub async fn finish_custom_run(&self, name: &str) {
        let condition = json!({"type": "Succeeded", "status": "True", "reason": "Done", "lastTransitionTime": now()});
        let status = json!({"status": {"startTime": now(), "completionTime": now(), "conditions": [condition]}});
        let path = format!("{}/status", self.path("CustomRun", name));
        self.kube.send_as(LOOP_CONTROLLER, Method::PATCH, &path, &status).await.unwrap();
    }

    /// Mallory creates a pod that claims a `TaskRun` or none.
    pub async fn forge_pod(&self, name: &str, task_run: Option<&ObjectRef>) -> Result<Value, (u16, String)> {
        let metadata = task_run.map_or_else(|| json!({}), claims_of_a_pod);
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"serviceAccountName": "build-bot", "containers": [{"name": "step-main", "image": "mallorys"}]},
        });
        pod["metadata"]["name"] = name.into();
        self.create_as(MALLORY, &pod).await
    }

    /// Mallory deletes a pod and creates one with its name that claims a `TaskRun`; repeated until this is faster
    /// than Tekton's own replacement.
    pub async fn replace_pod_by_forgery(&self, name: &str, task_run: &ObjectRef) {
        let path = format!("{}?gracePeriodSeconds=0", self.path("Pod", name));
        let deadline = Instant::now() + WITHIN;
        loop {
            let _ = self.kube.send_as(MALLORY, Method::DELETE, &path, &Value::Null).await;
            match self.forge_pod(name, Some(task_run)).await {
                Ok(_) => return,
                Err((409, _)) if Instant::now() < deadline => {}
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    /// Mallory patches a pod so that it claims a `TaskRun`.
    pub async fn forge_claim_of_pod(&self, name: &str, task_run: &ObjectRef) -> Result<Value, (u16, String)> {
        let patch = json!({"metadata": claims_of_a_pod(task_run)});
        self.kube.send_as(MALLORY, Method::PATCH, &self.path("Pod", name), &patch).await
    }

    /// Waits for a pod of a task that has not ended and is not in this list.
    pub async fn wait_for_pod(&self, run: &ObjectRef, task: &str, but: &[&str]) -> PodActor {
        let selector = match run.kind {
            "TaskRun" => format!("tekton.dev/taskRun={}", run.name),
            _ => format!("tekton.dev/pipelineRun={},tekton.dev/pipelineTask={task}", run.name),
        };
        let path =
            format!("{}?labelSelector={}", self.path("Pod", ""), selector.replace('/', "%2F").replace(',', "%2C"));
        let what = format!("a pod of {} {task}", run.name);
        let name = self.until(&what, &path, |list| {
            let alive = |pod: &&Value| !["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
            let names =
                list["items"].as_array()?.iter().filter(alive).map(|pod| pod["metadata"]["name"].as_str().unwrap());
            names.filter(|name| !but.contains(name)).map(str::to_owned).next()
        });
        self.kube.existing_pod(&self.name, &name.await).await
    }

    /// Waits until a run or pod satisfies a condition.
    pub async fn wait_for<T>(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        self.until(&format!("{kind} {name}"), &self.path(kind, name), wanted).await
    }

    async fn until<T>(&self, what: &str, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        loop {
            let found = self.kube.send_as(DEVELOPER, Method::GET, path, &Value::Null).await.unwrap_or(Value::Null);
            if let Some(result) = wanted(&found) {
                return result;
            }
            assert!(Instant::now() < deadline, "timed out waiting for {what}: {found:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a run with this name.
    pub async fn wait_for_object(&self, kind: &'static str, name: &str) -> ObjectRef {
        self.wait_for(kind, name, |found| found["metadata"]["uid"].as_str().map(|_| object_ref(kind, found))).await
    }

    /// Starts the containers of a pod, like a kubelet.
    pub async fn start_containers(&self, pod: &PodActor) {
        let state = json!({"running": {"startedAt": now()}});
        self.set_container_status(pod, "Running", &state).await;
    }

    /// Ends its containers.
    pub async fn end_containers(&self, pod: &PodActor, phase: &str) {
        let state = json!({"terminated": {
            "exitCode": u8::from(phase == "Failed"), "startedAt": now(), "finishedAt": now(), "message": "[]",
        }});
        self.set_container_status(pod, phase, &state).await;
    }

    async fn set_container_status(&self, pod: &PodActor, phase: &str, state: &Value) {
        let spec = self.wait_for("Pod", &pod.name, |found| found["spec"]["containers"].as_array().cloned()).await;
        let status = |container: &Value| json!({"name": container["name"], "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": state});
        let containers: Vec<Value> = spec.iter().map(status).collect();
        pod.set_status(json!({"phase": phase, "containerStatuses": containers})).await;
    }

    fn path(&self, kind: &str, name: &str) -> String {
        let group = match kind {
            "Pod" | "ServiceAccount" => "/api/v1",
            "CustomRun" => "/apis/tekton.dev/v1beta1",
            _ => "/apis/tekton.dev/v1",
        };
        let path = format!("{group}/namespaces/{}/{}s", self.name, kind.to_lowercase());
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }
}

fn claims_of_a_pod(task_run: &ObjectRef) -> Value {
    json!({
        "ownerReferences": [owner(task_run)],
        "labels": {"tekton.dev/taskRun": task_run.name, "app.kubernetes.io/managed-by": "tekton-pipelines"},
    })
}

fn object_ref(kind: &'static str, object: &Value) -> ObjectRef {
    let text = |name: &str| object["metadata"][name].as_str().unwrap().to_owned();
    ObjectRef { kind, name: text("name"), uid: text("uid") }
}

fn owner(thing: &ObjectRef) -> Value {
    let version = if thing.kind == "CustomRun" { "tekton.dev/v1beta1" } else { "tekton.dev/v1" };
    json!({"apiVersion": version, "kind": thing.kind, "name": thing.name, "uid": thing.uid,
           "controller": true, "blockOwnerDeletion": true})
}

/// A Task with one step. It has a command, so that no registry is contacted.
pub fn step() -> Value {
    json!({"steps": [{"name": "main", "image": "image.invalid", "command": ["/bin/true"]}]})
}

/// A task of a pipeline that Tekton hands to the controller of the kind `TaskLoop`, as a `CustomRun`.
pub fn custom_task(name: &str, more: &Value) -> Value {
    let mut task = json!({"name": name, "taskRef": {"apiVersion": "custom.tekton.dev/v1alpha1", "kind": "TaskLoop", "name": "each"}});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

/// A task of a pipeline, with additional fields.
pub fn task(name: &str, more: &Value) -> Value {
    let mut task = json!({"name": name, "taskSpec": step()});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

fn now() -> String {
    jiff::Timestamp::from_second(SystemClock.now().as_second()).unwrap().to_string()
}
