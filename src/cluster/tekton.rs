//! GET of Tekton's `TaskRun`s and `PipelineRun`s. Their status is written by Tekton alone; all else by whoever made them.

use super::object::{Object, Owner};
use super::{Cluster, ClusterError};
use crate::model::facts::PipelineRunFacts;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The versions of `tekton.dev` that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `tekton.dev/v1`.
    V1,
    /// `tekton.dev/v1beta1`.
    V1beta1,
}

impl Version {
    /// The version of an `apiVersion`, where it is one of Tekton's.
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

/// A `TaskRun`, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRun {
    /// `metadata.uid`.
    pub uid: String,
    /// Who it says controls it.
    pub controller: Option<Owner>,
    /// `status.podName`: the pod that Tekton made for it.
    pub pod_name: Option<String>,
    /// Whether `status.completionTime` is set.
    pub is_completed: bool,
}

/// A `PipelineRun`, as far as we need it.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// `metadata.uid`.
    pub uid: String,
    /// `status.childReferences`: what Tekton made for it.
    pub children: Vec<Child>,
    /// Whether `status.completionTime` is set.
    pub is_completed: bool,
    /// What policies may ask about.
    pub facts: PipelineRunFacts,
}

/// One thing that Tekton made for a `PipelineRun`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Child {
    /// Its kind.
    pub kind: String,
    /// Its name, in the same namespace.
    pub name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TaskRunStatus {
    pod_name: Option<String>,
    completion_time: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PipelineRunStatus {
    child_references: Vec<Child>,
    completion_time: Option<IgnoredAny>,
}

impl Cluster {
    /// Reads a `TaskRun`; `None` where there is none.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn task_run(
        &self,
        version: Version,
        namespace: &str,
        name: &str,
    ) -> Result<Option<TaskRun>, ClusterError> {
        Ok(self.object(version.group(), "taskruns", "TaskRun", namespace, name).await?.map(task_run))
    }

    /// Reads a `PipelineRun`; `None` where there is none.
    ///
    /// # Errors
    /// When nobody knows.
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

pub(super) fn task_run(object: Object<IgnoredAny, TaskRunStatus>) -> TaskRun {
    TaskRun {
        controller: object.metadata.controller(),
        uid: object.metadata.uid,
        pod_name: object.status.pod_name,
        is_completed: object.status.completion_time.is_some(),
    }
}

pub(super) fn pipeline_run(name: &str, object: Object<Value, PipelineRunStatus>) -> PipelineRun {
    PipelineRun {
        uid: object.metadata.uid,
        children: object.status.child_references,
        is_completed: object.status.completion_time.is_some(),
        facts: PipelineRunFacts {
            name: name.to_owned(),
            labels: object.metadata.labels,
            annotations: object.metadata.annotations,
            params: params(object.spec),
        },
    }
}

/// `spec.params`. What Tekton itself would not take is left out: a value that is neither text, nor a list nor an
/// object of texts, and a name that stands twice, of which two readers could see different values.
fn params(mut spec: Value) -> BTreeMap<String, Value> {
    let listed = match spec.get_mut("params").map(Value::take) {
        Some(Value::Array(listed)) => listed,
        _ => Vec::new(),
    };
    let mut params = BTreeMap::new();
    for mut param in listed {
        let value = param.get_mut("value").map(Value::take).filter(is_param_value);
        let Some(Value::String(name)) = param.get_mut("name").map(Value::take) else { continue };
        match params.entry(name) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(mut twice) => drop(twice.insert(None)),
        }
    }
    params.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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
    use crate::cluster::Trouble;
    use crate::cluster::fake::Fake;
    use serde_json::json;

    #[test]
    fn params_are_texts_lists_and_objects_of_texts() {
        let spec = json!({"params": [
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
        ]});
        let expected = json!({"repo": "site", "list": ["a", "b"], "empty": [], "object": {"url": "u"}});
        assert_eq!(json!(params(spec)), expected);
        for spec in [json!(null), json!("x"), json!({}), json!({"params": null}), json!({"params": {"repo": "site"}})] {
            assert!(params(spec).is_empty());
        }
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
        let expected = TaskRun { uid: "u".into(), controller: None, pod_name: None, is_completed: false };
        assert_eq!(cluster.task_run(Version::V1, "ci", "t").await, Ok(Some(expected)));
        let malformed = Err(ClusterError::Unavailable(Trouble::Malformed));
        assert_eq!(cluster.pipeline_run(Version::V1, "ci", "t").await.map(|_| ()), malformed, "another kind");
    }
}
