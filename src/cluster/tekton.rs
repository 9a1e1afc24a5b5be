//! GET of Tekton's `TaskRun`s and `PipelineRun`s. Only Tekton writes their status; their creator writes all other
//! fields.

use super::client::Cluster;
use super::error::ClusterError;
use super::object::{Object, Owner, Time};
use crate::model::facts::{PipelineRunFacts, TaskRunFacts};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The supported versions of `tekton.dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `tekton.dev/v1`.
    V1,
    /// `tekton.dev/v1beta1`.
    V1beta1,
}

impl Version {
    /// The version of an `apiVersion`; `None` if it is not a supported version of `tekton.dev`.
    #[must_use]
    pub fn of(api_version: &str) -> Option<Self> {
        match api_version {
            "tekton.dev/v1" => Some(Self::V1),
            "tekton.dev/v1beta1" => Some(Self::V1beta1),
            _ => None,
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Self::V1 => "/apis/tekton.dev/v1",
            Self::V1beta1 => "/apis/tekton.dev/v1beta1",
        }
    }
}

/// The fields of a `TaskRun` that the broker uses.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRun {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`, by the API server's clock.
    pub created: Option<Time>,
    /// The controller that the run names.
    pub controller: Option<Owner>,
    /// `status.podName`: the pod that Tekton created for it. An empty name counts as `None`.
    pub pod_name: Option<String>,
    /// `status.startTime`, by Tekton's clock. Tekton never sets it before the creation time of the `TaskRun`.
    pub started: Option<Time>,
    /// The earliest `startedAt` of its steps and sidecars, by the node's clock. Tekton copies these from the pod's
    /// status (`MakeTaskRunStatus`) in the same write that sets the pod's name.
    pub first_container_started: Option<Time>,
    /// `status.completionTime`, by Tekton's clock.
    pub completed: Option<Time>,
    /// The end of the previous attempt, by Tekton's clock.
    pub last_attempt_ended: Option<Time>,
    /// The attributes that policies can use.
    pub facts: TaskRunFacts,
}

/// The fields of a `PipelineRun` that the broker uses.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// `metadata.uid`.
    pub uid: String,
    /// `status.childReferences`: the objects that Tekton created for it.
    pub children: Vec<Child>,
    /// The tasks of the resolved pipeline, by name.
    pub tasks: BTreeMap<String, PipelineTask>,
    /// Whether `status.completionTime` is set.
    pub is_completed: bool,
    /// The attributes that policies can use.
    pub facts: PipelineRunFacts,
}

/// A task of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineTask {
    /// Whether it runs once for each combination of params.
    pub has_matrix: bool,
    /// The tasks that must end before it: named in `runAfter`, or used for their results. A task under `finally`
    /// comes after all others.
    pub after: BTreeSet<String>,
}

/// One object that Tekton created for a `PipelineRun`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Child {
    /// Its kind.
    pub kind: String,
    /// Its name, in the same namespace as the `PipelineRun`.
    pub name: String,
    /// The name of its task in the pipeline.
    pub pipeline_task_name: String,
}

/// The spec of a run, without its steps.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RunSpec {
    params: Value,
}

/// The resolved Task or Pipeline. A Task has only params.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Resolved {
    params: Value,
    tasks: Value,
    finally: Value,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TaskRunStatus {
    pod_name: Option<String>,
    start_time: Option<Time>,
    completion_time: Option<Time>,
    steps: Vec<Container>,
    sidecars: Vec<Container>,
    retries_status: Vec<Attempt>,
    task_spec: Option<Resolved>,
}

/// A finished attempt.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Attempt {
    completion_time: Option<Time>,
    steps: Vec<Container>,
    sidecars: Vec<Container>,
}

/// The state of a step or sidecar.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    running: Option<Started>,
    terminated: Option<Started>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Started {
    started_at: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PipelineRunStatus {
    child_references: Vec<Child>,
    completion_time: Option<IgnoredAny>,
    pipeline_spec: Option<Resolved>,
}

impl Cluster {
    /// Reads a `TaskRun`; `None` if it does not exist.
    ///
    /// # Errors
    /// The API server gave no usable answer.
    pub async fn task_run(
        &self,
        version: Version,
        namespace: &str,
        name: &str,
    ) -> Result<Option<TaskRun>, ClusterError> {
        let found = self.object(version.group(), "taskruns", "TaskRun", namespace, name).await?;
        Ok(found.map(|object| task_run(name, object)))
    }

    /// Reads a `PipelineRun`; `None` if it does not exist.
    ///
    /// # Errors
    /// The API server gave no usable answer.
    pub async fn pipeline_run(
        &self,
        version: Version,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PipelineRun>, ClusterError> {
        let found = self.object(version.group(), "pipelineruns", "PipelineRun", namespace, name).await?;
        Ok(found.map(|object| pipeline_run(name, object)))
    }
}

pub(super) fn task_run(name: &str, object: Object<RunSpec, TaskRunStatus>) -> TaskRun {
    let status = object.status;
    // Until the new pod has steps, Tekton leaves those of the previous attempt in the status (`retryTaskRun`).
    let earlier: Vec<Time> =
        status.retries_status.iter().flat_map(|attempt| start_times(&attempt.steps, &attempt.sidecars)).collect();
    let of_this_attempt = start_times(&status.steps, &status.sidecars).filter(|start| !earlier.contains(start));
    TaskRun {
        controller: object.metadata.controller(),
        uid: object.metadata.uid,
        created: object.metadata.creation_timestamp,
        pod_name: status.pod_name.filter(|name| !name.is_empty()),
        started: status.start_time,
        first_container_started: of_this_attempt.min(),
        completed: status.completion_time,
        last_attempt_ended: status.retries_status.iter().filter_map(|attempt| attempt.completion_time).max(),
        facts: TaskRunFacts {
            name: name.to_owned(),
            labels: object.metadata.labels,
            params: params(object.spec.params, status.task_spec.unwrap_or_default().params),
        },
    }
}

/// Start times of running and finished containers.
fn start_times<'a>(steps: &'a [Container], sidecars: &'a [Container]) -> impl Iterator<Item = Time> + 'a {
    let states = steps.iter().chain(sidecars).flat_map(|container| [&container.running, &container.terminated]);
    states.filter_map(|state| state.as_ref()?.started_at)
}

pub(super) fn pipeline_run(name: &str, object: Object<RunSpec, PipelineRunStatus>) -> PipelineRun {
    let status = object.status;
    let Resolved { params: declared, tasks, finally } = status.pipeline_spec.unwrap_or_default();
    PipelineRun {
        uid: object.metadata.uid,
        children: status.child_references,
        tasks: pipeline_tasks(&tasks, &finally),
        is_completed: status.completion_time.is_some(),
        facts: PipelineRunFacts {
            name: name.to_owned(),
            labels: object.metadata.labels,
            annotations: object.metadata.annotations,
            params: params(object.spec.params, declared),
        },
    }
}

fn pipeline_tasks(tasks: &Value, finally: &Value) -> BTreeMap<String, PipelineTask> {
    let texts = |list: &Value, of: fn(&Value) -> Option<&str>| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(of).map(str::to_owned).collect()
    };
    let all = texts(tasks, |task| task["name"].as_str());
    let task = |task: &Value, mut after: BTreeSet<String>| {
        collect_result_tasks(task, &mut after);
        Some((task["name"].as_str()?.to_owned(), PipelineTask { has_matrix: !task["matrix"].is_null(), after }))
    };
    let regular = tasks.as_array().into_iter().flatten().map(|one| task(one, texts(&one["runAfter"], Value::as_str)));
    let last = finally.as_array().into_iter().flatten().map(|one| task(one, all.clone()));
    regular.chain(last).flatten().collect()
}

/// Adds the tasks whose results are used in any string below, as `$(tasks.NAME.results...)`. Such a use orders the
/// tasks.
fn collect_result_tasks(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let rests = text.split("$(tasks.").skip(1);
            names.extend(rests.filter_map(|rest| Some(rest.split_once(".results")?.0)).map(str::to_owned));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_result_tasks(value, names)),
        Value::Object(map) => map.values().for_each(|value| collect_result_tasks(value, names)),
        _ => {}
    }
}

/// The params of a run: those of its spec, and the defaults of its Task or Pipeline for params that the spec
/// omits. For an object param, the spec may omit single keys
/// ([Tekton](https://tekton.dev/docs/pipelines/pipelines/#param-object-type)).
fn params(given: Value, declared: Value) -> BTreeMap<String, Value> {
    let mut params = params_by_name(given, "value");
    for (name, default) in params_by_name(declared, "default") {
        match (params.entry(name), default) {
            (Entry::Vacant(place), default) => drop(place.insert(default)),
            (Entry::Occupied(mut place), Some(Value::Object(default))) => {
                if let Some(Value::Object(given)) = place.get_mut() {
                    for (key, value) in default {
                        given.entry(key).or_insert(value);
                    }
                }
            }
            (Entry::Occupied(_), _) => {}
        }
    }
    params.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The entries of a list of params by name, with one member of each. An entry that Tekton would reject has no
/// value: one that is neither a string nor a list or object of strings, and a duplicate name, for which two
/// readers could see different values.
fn params_by_name(list: Value, member: &str) -> BTreeMap<String, Option<Value>> {
    let Value::Array(list) = list else { return BTreeMap::new() };
    let mut params = BTreeMap::new();
    for mut param in list {
        let value = param.get_mut(member).map(Value::take).filter(is_param_value);
        let Some(Value::String(name)) = param.get_mut("name").map(Value::take) else { continue };
        match params.entry(name) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(mut twice) => drop(twice.insert(None)),
        }
    }
    params
}

fn is_param_value(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(Value::is_string),
        Value::Object(members) => members.values().all(Value::is_string),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::CallFailure;
    use crate::cluster::fake::Fake;
    use serde_json::json;

    #[test]
    fn params_are_texts_lists_and_objects_of_texts() {
        let given = json!([
            {"name": "repo", "value": "site"},
            {"name": "list", "value": ["a", "b"]},
            {"name": "empty", "value": []},
            {"name": "object", "value": {"url": "u"}},
            {"name": "number", "value": 1},
            {"name": "null", "value": null},
            {"name": "mixed", "value": ["a", 1]},
            {"name": "deep", "value": {"a": {"b": "c"}}},
            {"name": "absent"},
            {"name": "twice", "value": "a"},
            {"name": "twice", "value": "b"},
            {"name": "thrice", "value": "a"},
            {"name": "thrice", "value": 1},
            {"name": "thrice", "value": "a"},
            {"name": 1, "value": "a"},
            {"value": "nameless"},
            "text",
            null,
        ]);
        let expected = json!({"repo": "site", "list": ["a", "b"], "empty": [], "object": {"url": "u"}});
        assert_eq!(json!(params(given, Value::Null)), expected);
        for given in [json!(null), json!("x"), json!({}), json!({"repo": "site"})] {
            assert!(params(given, Value::Null).is_empty());
        }
    }

    #[test]
    fn what_the_spec_leaves_out_is_the_default_that_tekton_resolved() {
        let declared = json!([
            {"name": "branch", "type": "string", "default": "main"},
            {"name": "repo", "default": "blog"},
            {"name": "list", "default": ["a"]},
            {"name": "git", "type": "object", "default": {"url": "u", "ref": "main"}},
            {"name": "whole", "default": {"url": "u"}},
            {"name": "without"},
            {"name": "number", "default": 1},
            {"name": "twice", "default": "a"},
            {"name": "twice", "default": "b"},
            {"name": "bad", "default": "good"},
            {"name": "doubled", "default": "good"},
            {"name": "kind", "default": {"a": "b"}},
        ]);
        let given = json!([
            {"name": "repo", "value": "site"},
            {"name": "list", "value": []},
            {"name": "git", "value": {"ref": "dev", "more": "m"}},
            {"name": "bad", "value": 7},
            {"name": "doubled", "value": "a"},
            {"name": "doubled", "value": "b"},
            {"name": "kind", "value": "text"},
            {"name": "undeclared", "value": "kept"},
        ]);
        let expected = json!({
            "branch": "main", "repo": "site", "list": [], "git": {"url": "u", "ref": "dev", "more": "m"},
            "whole": {"url": "u"}, "kind": "text", "undeclared": "kept",
        });
        assert_eq!(json!(params(given, declared)), expected);
        for declared in [json!(null), json!("x"), json!({"branch": "main"}), json!([null, "text", {"default": "a"}])] {
            assert!(params(Value::Null, declared).is_empty());
        }
    }

    async fn task_run_of(body: Value) -> Result<Option<TaskRun>, ClusterError> {
        Fake::answering(200, &body.to_string()).await.cluster().await.task_run(Version::V1, "ci", "t").await
    }

    #[tokio::test]
    async fn the_first_start_is_that_of_any_step_or_sidecar_in_either_state() {
        let at = |seconds: u8| format!("2026-01-01T00:00:{seconds:02}Z");
        let time = |seconds: u8| Some(Time::try_from(at(seconds)).unwrap());
        for (status, started, first) in [
            (json!({"startTime": at(1)}), time(1), None),
            (json!({"steps": [{"waiting": {"reason": "PodInitializing"}}]}), None, None),
            (json!({"steps": [{"running": {"startedAt": at(5)}}]}), None, time(5)),
            (
                json!({"steps": [{"terminated": {"startedAt": at(7)}}, {"running": {"startedAt": at(6)}}]}),
                None,
                time(6),
            ),
            (json!({"steps": [{"terminated": {"startedAt": null}}], "sidecars": []}), None, None),
            (
                json!({"steps": [{"running": {"startedAt": at(6)}}], "sidecars": [{"running": {"startedAt": at(3)}}]}),
                None,
                time(3),
            ),
        ] {
            let body =
                json!({"kind": "TaskRun", "metadata": {"uid": "u", "creationTimestamp": at(0)}, "status": status});
            let run = task_run_of(body).await.unwrap().unwrap();
            assert_eq!((run.created, run.started, run.first_container_started), (time(0), started, first), "{status}");
        }
        let malformed = Err(ClusterError::Unavailable(CallFailure::Malformed));
        for status in [json!({"startTime": "now"}), json!({"steps": [{"running": {"startedAt": 5}}]})] {
            let body = json!({"kind": "TaskRun", "metadata": {"uid": "u"}, "status": status});
            assert_eq!(task_run_of(body).await, malformed);
        }
    }

    #[tokio::test]
    async fn the_end_of_the_last_attempt_and_of_the_run_are_tektons() {
        let at = |seconds: u8| format!("2026-01-01T00:00:{seconds:02}Z");
        let time = |seconds: u8| Some(Time::try_from(at(seconds)).unwrap());
        for (status, ends) in [
            (json!({"retriesStatus": []}), (None, None)),
            (
                json!({"retriesStatus": [{"completionTime": at(9)}, {"podName": "p"}, {"completionTime": at(5)}]}),
                (time(9), None),
            ),
            (json!({"completionTime": at(7)}), (None, time(7))),
        ] {
            let run = task_run_of(json!({"kind": "TaskRun", "metadata": {"uid": "u"}, "status": status})).await;
            let run = run.unwrap().unwrap();
            assert_eq!((run.last_attempt_ended, run.completed), ends, "{status}");
        }
    }

    #[tokio::test]
    async fn the_order_of_tasks_is_that_of_the_resolved_pipeline() {
        let of = async |spec: Value| {
            let body = json!({"kind": "PipelineRun", "metadata": {"uid": "u"}, "status": {"pipelineSpec": spec}});
            let cluster = Fake::answering(200, &body.to_string()).await.cluster().await;
            cluster.pipeline_run(Version::V1, "ci", "p").await.unwrap().unwrap().tasks
        };
        let spec = json!({
            "tasks": [
                {"name": "clone", "taskSpec": {"steps": [{"script": "echo $(tasks.)"}]}},
                {"name": "build", "runAfter": ["clone"], "matrix": {"params": []}},
                {"name": "sign", "params": [{"name": "p", "value": ["$(tasks.build.results.digest)", "$(params.x)"]}],
                 "when": [{"input": "$(tasks.clone.results.a)$(tasks.lint.results.b)"}]},
                {"runAfter": ["clone"]},
                null,
            ],
            "finally": [{"name": "report", "params": [{"value": "$(tasks.clone.status)"}]}],
        });
        let told: Vec<String> = of(spec)
            .await
            .into_iter()
            .map(|(name, task)| format!("{name} {} {:?}", task.has_matrix, task.after).replace('"', ""))
            .collect();
        let expected = [
            "build true {clone}",
            "clone false {}",
            "report false {build, clone, sign}",
            "sign false {build, clone, lint}",
        ];
        assert_eq!(told, expected);
        for spec in [json!(null), json!({"tasks": null}), json!({"tasks": "x", "finally": 7}), json!({"tasks": [7]})] {
            assert!(of(spec).await.is_empty());
        }
    }

    #[tokio::test]
    async fn a_cluster_without_tekton_has_no_run_and_says_so_in_plain_words() {
        let cluster = Fake::answering(404, "404 page not found\n").await.cluster().await;
        assert_eq!(cluster.task_run(Version::V1, "ci", "t").await, Ok(None));
        assert_eq!(cluster.pipeline_run(Version::V1beta1, "ci", "p").await, Ok(None));
        assert_eq!(
            cluster.pod("ci", "t").await,
            Err(ClusterError::Unavailable(CallFailure::Status)),
            "every cluster has pods"
        );
    }

    #[test]
    fn the_versions_are_a_closed_list() {
        assert_eq!(Version::of("tekton.dev/v1"), Some(Version::V1));
        assert_eq!(Version::of("tekton.dev/v1beta1"), Some(Version::V1beta1));
        for other in ["", "v1", "tekton.dev", "tekton.dev/", "tekton.dev/v2", "tekton.dev/v1/../v1", "evil.dev/v1"] {
            assert_eq!(Version::of(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_run_of_which_tekton_has_said_nothing_yet_is_one() {
        let body = r#"{"kind":"TaskRun","metadata":{"uid":"u"}}"#;
        let cluster = Fake::answering(200, body).await.cluster().await;
        let facts = TaskRunFacts { name: "t".into(), ..TaskRunFacts::default() };
        let expected = TaskRun {
            uid: "u".into(),
            created: None,
            controller: None,
            pod_name: None,
            started: None,
            first_container_started: None,
            completed: None,
            last_attempt_ended: None,
            facts,
        };
        assert_eq!(cluster.task_run(Version::V1, "ci", "t").await, Ok(Some(expected)));
        let malformed = Err(ClusterError::Unavailable(CallFailure::Malformed));
        assert_eq!(cluster.pipeline_run(Version::V1, "ci", "t").await.map(|_| ()), malformed, "another kind");
    }
}
