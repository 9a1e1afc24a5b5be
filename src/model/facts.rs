//! Facts about a caller's pod and its build. All of them come from the API server.

use std::collections::BTreeMap;

/// The available facts. A policy does not match if its expression uses a missing fact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The caller's pod, with the uid the token is bound to.
    pub pod: Option<PodFacts>,
    /// The `TaskRun` that Tekton made the pod for, verified backwards from the pod.
    pub task_run: Option<TaskRunFacts>,
    /// The `PipelineRun` the pod works for, verified backwards from the pod.
    pub pipeline_run: Option<PipelineRunFacts>,
    /// Whether runs are not used as facts because the required admission policy is missing in the cluster.
    pub runs_withheld: bool,
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
    /// No facts.
    pub const NOTHING: Self = Self { pod: false, task_run: false, pipeline_run: false };
    /// All facts.
    pub const ALL: Self = Self { pod: true, task_run: true, pipeline_run: true };
    /// Only the pod.
    pub const POD: Self = Self { pod: true, ..Self::NOTHING };
    /// Only the `TaskRun`.
    pub const TASK_RUN: Self = Self { task_run: true, ..Self::NOTHING };
    /// Only the `PipelineRun`.
    pub const PIPELINE_RUN: Self = Self { pipeline_run: true, ..Self::NOTHING };

    /// Whether these are all facts that `other` needs, and possibly more.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.union(other) == self
    }

    /// The facts that at least one of the two needs.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            pod: self.pod || other.pod,
            task_run: self.task_run || other.task_run,
            pipeline_run: self.pipeline_run || other.pipeline_run,
        }
    }
}

/// A pod, as the API server reports it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodFacts {
    /// `status.podIP`.
    pub ip: Option<String>,
    /// `status.podIPs`: one address of each family.
    pub ips: Vec<String>,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// Labels, chosen by anyone who may create pods in the namespace.
    pub labels: BTreeMap<String, String>,
    /// Annotations, chosen like labels.
    pub annotations: BTreeMap<String, String>,
}

/// A Tekton `TaskRun`, as the API server reports it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskRunFacts {
    /// `metadata.name`.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `spec.params` and the defaults of the Task. Values as in [`PipelineRunFacts::params`].
    pub params: BTreeMap<String, serde_json::Value>,
}

/// A Tekton `PipelineRun`, as the API server reports it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineRunFacts {
    /// `metadata.name`.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `spec.params` and the defaults of the Pipeline. A value is a string, an array of strings, or an object with string members.
    pub params: BTreeMap<String, serde_json::Value>,
}
