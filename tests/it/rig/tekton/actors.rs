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
pub const LOOPS: &str = "system:serviceaccount:loops:controller";
/// Long, because Tekton's controller becomes the leader during the first test.
const WITHIN: Duration = Duration::from_secs(90);

/// A namespace for a test, in which `build-bot` builds.
pub struct Workshop {
    pub kube: Kube,
    pub namespace: String,
}

/// A Tekton run or a pod.
#[derive(Clone)]
pub struct Thing {
    pub kind: &'static str,
    pub name: String,
    pub uid: String,
}

impl Workshop {
    /// Creates a namespace, with or without the admission policy.
    pub async fn open(kube: Kube, guarded: bool) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("builds-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let workshop = Self { kube, namespace };
        let labels = json!({"guarded": if guarded { "yes" } else { "no" }});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                               "metadata": {"name": workshop.namespace, "labels": labels}});
        workshop.kube.as_user(DEVELOPER, Method::POST, "/api/v1/namespaces", &namespace).await.unwrap();
        for name in ["build-bot", "default"] {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
            workshop.creates(DEVELOPER, &account).await.unwrap();
        }
        workshop
    }

    /// A developer starts a run of these tasks, with the params `repo` and, by default, `branch`.
    pub async fn starts(&self, name: &str, repo: &str, tasks: Value, finally: Value) -> Thing {
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
        self.makes(DEVELOPER, "PipelineRun", &run).await
    }

    /// A developer starts a single Task in the same way.
    pub async fn starts_alone(&self, name: &str, repo: &str) -> Thing {
        let mut spec = step();
        spec["params"] = json!([{"name": "repo"}, {"name": "branch", "default": "main"}]);
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name},
            "spec": {"params": [{"name": "repo", "value": repo}], "serviceAccountName": "build-bot", "taskSpec": spec},
        });
        self.makes(DEVELOPER, "TaskRun", &run).await
    }

    async fn makes(&self, user: &str, kind: &'static str, object: &Value) -> Thing {
        let deadline = Instant::now() + WITHIN;
        loop {
            // The webhook is not ready at once.
            match self.creates(user, object).await {
                Ok(made) => return thing(kind, &made),
                Err((500.., _)) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    /// A user creates an object: the object, or status and message.
    pub async fn creates(&self, user: &str, object: &Value) -> Result<Value, (u16, String)> {
        self.kube.as_user(user, Method::POST, &self.path(object["kind"].as_str().unwrap(), ""), object).await
    }

    /// Mallory, the attacker, creates a `TaskRun` that claims a task of a run.
    pub async fn task_run_of_mallorys(&self, name: &str, run: &Thing, task: &str) -> Result<Value, (u16, String)> {
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {
                "name": name, "ownerReferences": [owner(run)],
                "labels": {"tekton.dev/pipelineRun": run.name, "tekton.dev/pipelineRunUID": run.uid,
                           "tekton.dev/pipelineTask": task, "tekton.dev/memberOf": "tasks"},
            },
            "spec": {"serviceAccountName": "build-bot", "taskSpec": step()},
        });
        self.creates(MALLORY, &run).await
    }

    /// The controller of a loop creates the `TaskRun` of one iteration: the `CustomRun` is its owner, and it has the labels of
    /// the `CustomRun`.
    pub async fn iterates(&self, user: &str, name: &str, loop_run: &Thing, repo: &str) -> Result<Value, (u16, String)> {
        let labels = self.when("CustomRun", &loop_run.name, |found| found["metadata"].get("labels").cloned()).await;
        let mut spec = step();
        spec["params"] = json!([{"name": "repo"}, {"name": "branch", "default": "main"}]);
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "ownerReferences": [owner(loop_run)], "labels": labels},
            "spec": {"params": [{"name": "repo", "value": repo}], "serviceAccountName": "build-bot", "taskSpec": spec},
        });
        self.creates(user, &run).await
    }

    /// The controller of a `CustomRun` ends it, as Tekton's documentation of custom tasks asks for.
    pub async fn ends_custom_run(&self, name: &str) {
        let condition = json!({"type": "Succeeded", "status": "True", "reason": "Done", "lastTransitionTime": now()});
        let status = json!({"status": {"startTime": now(), "completionTime": now(), "conditions": [condition]}});
        let path = format!("{}/status", self.path("CustomRun", name));
        self.kube.as_user(LOOPS, Method::PATCH, &path, &status).await.unwrap();
    }

    /// Mallory creates a pod that claims a `TaskRun` or none.
    pub async fn pod_of_mallorys(&self, name: &str, task_run: Option<&Thing>) -> Result<Value, (u16, String)> {
        let metadata = task_run.map_or_else(|| json!({}), claims_of_a_pod);
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"serviceAccountName": "build-bot", "containers": [{"name": "step-main", "image": "mallorys"}]},
        });
        pod["metadata"]["name"] = name.into();
        self.creates(MALLORY, &pod).await
    }

    /// Mallory deletes a pod and creates one with its name that claims a `TaskRun`; repeated until this is faster
    /// than Tekton's own replacement.
    pub async fn pod_replaced_by_mallory(&self, name: &str, task_run: &Thing) {
        let path = format!("{}?gracePeriodSeconds=0", self.path("Pod", name));
        let deadline = Instant::now() + WITHIN;
        loop {
            let _ = self.kube.as_user(MALLORY, Method::DELETE, &path, &Value::Null).await;
            match self.pod_of_mallorys(name, Some(task_run)).await {
                Ok(_) => return,
                Err((409, _)) if Instant::now() < deadline => {}
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    /// Mallory patches a pod so that it claims a `TaskRun`.
    pub async fn pod_claims(&self, name: &str, task_run: &Thing) -> Result<Value, (u16, String)> {
        let patch = json!({"metadata": claims_of_a_pod(task_run)});
        self.kube.as_user(MALLORY, Method::PATCH, &self.path("Pod", name), &patch).await
    }

    /// Waits for a pod of a task that has not ended and is not in this list.
    pub async fn pod(&self, run: &Thing, task: &str, but: &[&str]) -> PodActor {
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
        self.kube.existing_pod(&self.namespace, &name.await).await
    }

    /// Waits until a run or pod satisfies a condition.
    pub async fn when<T>(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        self.until(&format!("{kind} {name}"), &self.path(kind, name), wanted).await
    }

    async fn until<T>(&self, what: &str, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        loop {
            let found = self.kube.as_user(DEVELOPER, Method::GET, path, &Value::Null).await.unwrap_or(Value::Null);
            if let Some(result) = wanted(&found) {
                return result;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}: {found:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a run with this name.
    pub async fn thing(&self, kind: &'static str, name: &str) -> Thing {
        self.when(kind, name, |found| found["metadata"]["uid"].as_str().map(|_| thing(kind, found))).await
    }

    /// Starts the containers of a pod, like a kubelet.
    pub async fn runs(&self, pod: &PodActor) {
        let state = json!({"running": {"startedAt": now()}});
        self.has_containers(pod, "Running", &state).await;
    }

    /// Ends its containers.
    pub async fn ends(&self, pod: &PodActor, phase: &str) {
        let state = json!({"terminated": {
            "exitCode": u8::from(phase == "Failed"), "startedAt": now(), "finishedAt": now(), "message": "[]",
        }});
        self.has_containers(pod, phase, &state).await;
    }

    async fn has_containers(&self, pod: &PodActor, phase: &str, state: &Value) {
        let spec = self.when("Pod", &pod.name, |found| found["spec"]["containers"].as_array().cloned()).await;
        let status = |container: &Value| json!({"name": container["name"], "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": state});
        let containers: Vec<Value> = spec.iter().map(status).collect();
        pod.has_status(json!({"phase": phase, "containerStatuses": containers})).await;
    }

    fn path(&self, kind: &str, name: &str) -> String {
        let group = match kind {
            "Pod" | "ServiceAccount" => "/api/v1",
            "CustomRun" => "/apis/tekton.dev/v1beta1",
            _ => "/apis/tekton.dev/v1",
        };
        let path = format!("{group}/namespaces/{}/{}s", self.namespace, kind.to_lowercase());
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }
}

fn claims_of_a_pod(task_run: &Thing) -> Value {
    json!({
        "ownerReferences": [owner(task_run)],
        "labels": {"tekton.dev/taskRun": task_run.name, "app.kubernetes.io/managed-by": "tekton-pipelines"},
    })
}

fn thing(kind: &'static str, object: &Value) -> Thing {
    let text = |name: &str| object["metadata"][name].as_str().unwrap().to_owned();
    Thing { kind, name: text("name"), uid: text("uid") }
}

fn owner(thing: &Thing) -> Value {
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
