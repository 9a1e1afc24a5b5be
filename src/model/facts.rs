//! What the cluster says of a caller's pod and of what it builds; no word of the caller's own.

use std::collections::BTreeMap;

/// The facts that could be had. One that is absent makes an expression that names it fail, and its policy not match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The caller's pod, with the uid the token is bound to.
    pub pod: Option<PodFacts>,
    /// The `PipelineRun` the pod works for, verified backwards from the pod.
    pub pipeline_run: Option<PipelineRunFacts>,
}

/// Which facts are needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`Facts::pod`].
    pub pod: bool,
    /// [`Facts::pipeline_run`].
    pub pipeline_run: bool,
}

/// What the API server says of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodFacts {
    /// `status.podIP`.
    pub ip: Option<String>,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// Labels: as true as the right to create pods in that namespace.
    pub labels: BTreeMap<String, String>,
    /// Annotations: likewise.
    pub annotations: BTreeMap<String, String>,
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
    /// `spec.params`: strings, arrays of strings, or objects of strings.
    pub params: BTreeMap<String, serde_json::Value>,
}
