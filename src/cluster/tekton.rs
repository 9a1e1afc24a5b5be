//! Reads Tekton's `TaskRun`s and `PipelineRun`s. Only Tekton writes their status; their creator writes all other
//! fields.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::object::{Object, Owner, Time};
use crate::model::facts::{PipelineRunFacts, TaskRunFacts};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

closed_enum! {
    /// The supported versions of `tekton.dev`, as in `apiVersion`.
    pub enum Version {
        /// Version 1.
        V1 => "tekton.dev/v1",
        /// The beta of version 1.
        V1beta1 => "tekton.dev/v1beta1",
    }
}

impl Version {
    fn path(self) -> String {
        format!("/apis/{}", self.as_str())
    }
}

/// The fields of a `TaskRun` that the broker uses.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRun {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`, by the API server's clock.
    pub created: Option<Time>,
    /// The owner that the `TaskRun` names as its controller.
    pub controller: Option<Owner>,
    /// `status.podName`, the pod that Tekton created for the `TaskRun`. `None` if there is no name yet.
    pub pod_name: Option<String>,
    /// `status.startTime`, by Tekton's clock. Tekton never sets it before the creation time of the `TaskRun`.
    pub started: Option<Time>,
    /// The earliest `startedAt` of the steps and sidecars of this attempt, by the node's clock. Tekton copies these from the pod's
    /// status (`MakeTaskRunStatus`) in the same write that sets the pod's name.
    pub first_container_started: Option<Time>,
    /// `status.completionTime`, by Tekton's clock.
    pub completed: Option<Time>,
    /// The end of the previous attempt, by Tekton's clock. `None` in the first attempt.
    pub last_attempt_ended: Option<Time>,
    /// The attributes that policies can use.
    pub facts: TaskRunFacts,
}

/// The fields of a `PipelineRun` that the broker uses.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// `metadata.uid`.
    pub uid: String,
    /// `status.childReferences`: the objects that Tekton created for the run, or adopted.
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
    /// Whether the task has a matrix, so that it runs once for each combination of params.
    pub has_matrix: bool,
    /// The tasks that must end before this one: those that `runAfter` names and those whose results this task uses. For a task
    /// under `finally`, all tasks that are not under `finally`.
    pub after: BTreeSet<String>,
}

/// One object that Tekton created for a `PipelineRun`, in the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Child {
    /// Such as `TaskRun`.
    pub kind: String,
    /// `metadata.name` of the child.
    pub name: String,
    /// The name of the child's task in the pipeline.
    pub pipeline_task_name: String,
}

/// The `spec` of a `TaskRun` or `PipelineRun`; only its params are used.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RunSpec {
    params: Value,
}

/// The Task or Pipeline that Tekton has resolved for a run. A Task has no `tasks` and no `finally`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ResolvedSpec {
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
    retries_status: Vec<FailedAttempt>,
    task_spec: Option<ResolvedSpec>,
}

/// An attempt that failed and was retried.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct FailedAttempt {
    completion_time: Option<Time>,
    steps: Vec<Container>,
    sidecars: Vec<Container>,
}

/// A step or sidecar, with its container's state.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    running: Option<ContainerState>,
    terminated: Option<ContainerState>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerState {
    started_at: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PipelineRunStatus {
    child_references: Vec<Child>,
    completion_time: Option<IgnoredAny>,
    pipeline_spec: Option<ResolvedSpec>,
}

impl Cluster {
    /// Reads a `TaskRun`. `None` if it does not exist.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn task_run(
        &self,
        version: Version,
        namespace: &str,
        name: &str,
    ) -> Result<Option<TaskRun>, CallFailure> {
        let found = self.object((&version.path(), "taskruns", "TaskRun"), (namespace, name)).await?;
        Ok(found.map(|object| to_task_run(name, object)))
    }

    /// Reads a `PipelineRun`. `None` if it does not exist.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn pipeline_run(
        &self,
        version: Version,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PipelineRun>, CallFailure> {
        let found = self.object((&version.path(), "pipelineruns", "PipelineRun"), (namespace, name)).await?;
        Ok(found.map(|object| to_pipeline_run(name, object)))
    }
}

pub(super) fn to_task_run(name: &str, object: Object<RunSpec, TaskRunStatus>) -> TaskRun {
    let status = object.status;
    // Until the new pod has steps, Tekton leaves those of the previous attempt in the status (`retryTaskRun`).
    let earlier_starts: Vec<Time> =
        status.retries_status.iter().flat_map(|attempt| start_times(&attempt.steps, &attempt.sidecars)).collect();
    let starts = start_times(&status.steps, &status.sidecars).filter(|start| !earlier_starts.contains(start));
    TaskRun {
        controller: object.metadata.controller(),
        uid: object.metadata.uid,
        created: object.metadata.creation_timestamp,
        pod_name: status.pod_name.filter(|name| !name.is_empty()),
        started: status.start_time,
        first_container_started: starts.min(),
        completed: status.completion_time,
        last_attempt_ended: status.retries_status.iter().filter_map(|attempt| attempt.completion_time).max(),
        facts: TaskRunFacts {
            name: name.to_owned(),
            labels: object.metadata.labels,
            params: effective_params(object.spec.params, status.task_spec.unwrap_or_default().params),
        },
    }
}

/// Start times of running and finished containers.
fn start_times<'a>(steps: &'a [Container], sidecars: &'a [Container]) -> impl Iterator<Item = Time> + 'a {
    let states = steps.iter().chain(sidecars).flat_map(|container| [&container.running, &container.terminated]);
    states.filter_map(|state| state.as_ref()?.started_at)
}

pub(super) fn to_pipeline_run(name: &str, object: Object<RunSpec, PipelineRunStatus>) -> PipelineRun {
    let status = object.status;
    let ResolvedSpec { params: declared, tasks, finally } = status.pipeline_spec.unwrap_or_default();
    PipelineRun {
        uid: object.metadata.uid,
        children: status.child_references,
        tasks: pipeline_tasks(&tasks, &finally),
        is_completed: status.completion_time.is_some(),
        facts: PipelineRunFacts {
            name: name.to_owned(),
            labels: object.metadata.labels,
            annotations: object.metadata.annotations,
            params: effective_params(object.spec.params, declared),
        },
    }
}

/// The tasks of a pipeline by name. Entries without a name are ignored.
fn pipeline_tasks(tasks: &Value, finally: &Value) -> BTreeMap<String, PipelineTask> {
    let names = |list: &Value, name: fn(&Value) -> Option<&str>| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(name).map(str::to_owned).collect()
    };
    let all = names(tasks, |task| task["name"].as_str());
    let parse = |task: &Value, mut after: BTreeSet<String>| {
        collect_result_tasks(task, &mut after);
        Some((task["name"].as_str()?.to_owned(), PipelineTask { has_matrix: !task["matrix"].is_null(), after }))
    };
    let regular =
        tasks.as_array().into_iter().flatten().map(|task| parse(task, names(&task["runAfter"], Value::as_str)));
    let last = finally.as_array().into_iter().flatten().map(|task| parse(task, all.clone()));
    regular.chain(last).flatten().collect()
}

/// Adds the names of the tasks whose results any string in the value uses, as `$(tasks.NAME.results...)`. Tekton runs a task after
/// those whose results it uses.
fn collect_result_tasks(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let references = text.split("$(tasks.").skip(1);
            names.extend(references.filter_map(|text| Some(text.split_once(".results")?.0)).map(str::to_owned));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_result_tasks(value, names)),
        Value::Object(map) => map.values().for_each(|value| collect_result_tasks(value, names)),
        _ => {}
    }
}

/// The params of a run: those of its spec, and the defaults of its Task or Pipeline for params that the spec
/// omits. For an object param, the spec may omit single keys
/// ([Tekton](https://tekton.dev/docs/pipelines/pipelines/#param-object-type)).
fn effective_params(given: Value, declared: Value) -> BTreeMap<String, Value> {
    let mut params = params_by_name(given, "value");
    for (name, default) in params_by_name(declared, "default") {
        match (params.entry(name), default) {
            (Entry::Vacant(entry), default) => drop(entry.insert(default)),
            (Entry::Occupied(mut entry), Some(Value::Object(default))) => {
                if let Some(Value::Object(given)) = entry.get_mut() {
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

/// The params of a list by name, each with the value of one member. `None` in place of a value that Tekton would reject, which is
/// any value except a string, a list of strings and an object of strings. Also `None` for a duplicate name, because two readers
/// could use different values.
fn params_by_name(list: Value, member: &str) -> BTreeMap<String, Option<Value>> {
    let Value::Array(list) = list else { return BTreeMap::new() };
    let mut params = BTreeMap::new();
    for mut param in list {
        let value = param.get_mut(member).map(Value::take).filter(is_param_value);
        let Some(Value::String(name)) = param.get_mut("name").map(Value::take) else { continue };
        match params.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(value)),
            Entry::Occupied(mut duplicate) => drop(duplicate.insert(None)),
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
    use crate::cluster::fake_api_server::FakeApiServer;
    use serde_json::json;

    #[test]
    fn params_are_strings_or_lists_or_objects_of_strings() {
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
        assert_eq!(json!(effective_params(given, Value::Null)), expected);
        for given in [json!(null), json!("x"), json!({}), json!({"repo": "site"})] {
            assert!(effective_params(given, Value::Null).is_empty());
        }
    }

    #[test]
    fn omitted_params_have_the_defaults_of_the_resolved_spec() {
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
        assert_eq!(json!(effective_params(given, declared)), expected);
        for declared in [json!(null), json!("x"), json!({"branch": "main"}), json!([null, "text", {"default": "a"}])] {
            assert!(effective_params(Value::Null, declared).is_empty());
        }
    }

    async fn read_task_run(body: Value) -> Result<Option<TaskRun>, CallFailure> {
        FakeApiServer::responding(200, &body.to_string()).await.cluster().await.task_run(Version::V1, "ci", "t").await
    }

    #[tokio::test]
    async fn the_first_container_start_is_the_earliest_of_all_steps_and_sidecars() {
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
            let run = read_task_run(body).await.unwrap().unwrap();
            assert_eq!((run.created, run.started, run.first_container_started), (time(0), started, first), "{status}");
        }
        let malformed = Err(CallFailure::Malformed);
        for status in [json!({"startTime": "now"}), json!({"steps": [{"running": {"startedAt": 5}}]})] {
            let body = json!({"kind": "TaskRun", "metadata": {"uid": "u"}, "status": status});
            assert_eq!(read_task_run(body).await, malformed);
        }
    }

    #[tokio::test]
    async fn the_ends_of_the_last_attempt_and_of_the_run_come_from_the_status() {
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
            let run = read_task_run(json!({"kind": "TaskRun", "metadata": {"uid": "u"}, "status": status})).await;
            let run = run.unwrap().unwrap();
            assert_eq!((run.last_attempt_ended, run.completed), ends, "{status}");
        }
    }

    #[tokio::test]
    async fn the_order_of_tasks_comes_from_the_resolved_pipeline() {
        let read_tasks = async |spec: Value| {
            let body = json!({"kind": "PipelineRun", "metadata": {"uid": "u"}, "status": {"pipelineSpec": spec}});
            let cluster = FakeApiServer::responding(200, &body.to_string()).await.cluster().await;
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
        let tasks: Vec<String> = read_tasks(spec)
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
        assert_eq!(tasks, expected);
        for spec in [json!(null), json!({"tasks": null}), json!({"tasks": "x", "finally": 7}), json!({"tasks": [7]})] {
            assert!(read_tasks(spec).await.is_empty());
        }
    }

    #[tokio::test]
    async fn the_plain_404_of_a_cluster_without_tekton_means_absent() {
        let cluster = FakeApiServer::responding(404, "404 page not found\n").await.cluster().await;
        assert_eq!(cluster.task_run(Version::V1, "ci", "t").await, Ok(None));
        assert_eq!(cluster.pipeline_run(Version::V1beta1, "ci", "p").await, Ok(None));
        assert_eq!(cluster.pod("ci", "t").await, Err(CallFailure::Status), "every cluster has pods");
    }

    #[test]
    fn unsupported_api_versions_are_refused() {
        assert_eq!(Version::from_name("tekton.dev/v1"), Some(Version::V1));
        assert_eq!(Version::from_name("tekton.dev/v1beta1"), Some(Version::V1beta1));
        for other in ["", "v1", "tekton.dev", "tekton.dev/", "tekton.dev/v2", "tekton.dev/v1/../v1", "evil.dev/v1"] {
            assert_eq!(Version::from_name(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_run_without_a_status_is_read() {
        let body = r#"{"kind":"TaskRun","metadata":{"uid":"u"}}"#;
        let cluster = FakeApiServer::responding(200, body).await.cluster().await;
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
        let malformed = Err(CallFailure::Malformed);
        assert_eq!(cluster.pipeline_run(Version::V1, "ci", "t").await.map(|_| ()), malformed, "another kind");
    }
}
