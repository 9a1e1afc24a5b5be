//! What the cluster says of a caller's pod and of what it builds; no word of the caller's own.

use std::collections::BTreeMap;

/// The facts that could be had. One that is absent makes an expression that names it fail, and its policy not match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The caller's pod, with the uid the token is bound to.
    pub pod: Option<PodFacts>,
    /// The `TaskRun` that Tekton made the pod for, verified backwards from the pod.
    pub task_run: Option<TaskRunFacts>,
    /// The `PipelineRun` the pod works for, verified backwards from the pod.
    pub pipeline_run: Option<PipelineRunFacts>,
}

/// Which facts are needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`Facts::pod`].
    pub pod: bool,
    /// [`Facts::task_run`].
    pub task_run: bool,
    /// [`Facts::pipeline_run`].
    pub pipeline_run: bool,
}

impl Needs {
    /// None of them.
    pub const NOTHING: Self = Self { pod: false, task_run: false, pipeline_run: false };
    /// The pod alone.
    pub const POD: Self = Self { pod: true, ..Self::NOTHING };
    /// The `TaskRun` alone.
    pub const TASK_RUN: Self = Self { task_run: true, ..Self::NOTHING };
    /// The `PipelineRun` alone.
    pub const PIPELINE_RUN: Self = Self { pipeline_run: true, ..Self::NOTHING };

    /// What either needs.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            pod: self.pod || other.pod,
            task_run: self.task_run || other.task_run,
            pipeline_run: self.pipeline_run || other.pipeline_run,
        }
    }
}

/// What the API server says of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodFacts {
    /// `status.podIP`.
    pub ip: Option<String>,
    /// `status.podIPs`: one address of each family.
    pub ips: Vec<String>,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// Labels: as true as the right to create pods in that namespace.
    pub labels: BTreeMap<String, String>,
    /// Annotations: likewise.
    pub annotations: BTreeMap<String, String>,
}

/// What the API server says of a Tekton `TaskRun`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskRunFacts {
    /// `metadata.name`.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// As [`PipelineRunFacts::params`], with the defaults of the Task.
    pub params: BTreeMap<String, serde_json::Value>,
}

/// What the API server says of a Tekton `PipelineRun`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineRunFacts {
    /// `metadata.name`.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `spec.params`, and the defaults of the Pipeline where they leave one out: strings, arrays of strings, or objects
    /// of strings.
    pub params: BTreeMap<String, serde_json::Value>,
}
