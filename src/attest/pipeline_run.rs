//! Finds and verifies the `PipelineRun` of a verified `TaskRun`.

use super::task_order;
use super::task_run::{Chain, Link, TASK_RUN, claim};
use crate::cluster::pod::Pod;
use crate::cluster::tekton::{Child, PipelineRun, TaskRun, Version};
use crate::cluster::{Cluster, ClusterError, Owner};
use crate::model::facts::PipelineRunFacts;
use std::sync::Arc;

const PIPELINE_RUN: &str = "PipelineRun";
/// Labels that Tekton copies from the run to its pods.
const NAME_LABEL: &str = "tekton.dev/pipelineRun";
const UID_LABEL: &str = "tekton.dev/pipelineRunUID";

/// The `PipelineRun` that a `TaskRun` names as its controller.
pub fn controlling_run(task_run: &TaskRun) -> Option<(Version, &Owner)> {
    claim(task_run.controller.as_ref(), PIPELINE_RUN)
}

/// The `PipelineRun` of a pod by its labels, which prove nothing: it may be read ahead while the `TaskRun` is verified.
pub fn labelled_run(pod: &Pod) -> Option<(Version, Owner)> {
    let (version, task_run) = claim(pod.controller.as_ref(), TASK_RUN)?;
    let label = |name| pod.facts.labels.get(name).cloned();
    let (api_version, kind) = (task_run.api_version.clone(), PIPELINE_RUN.to_owned());
    Some((version, Owner { api_version, kind, name: label(NAME_LABEL)?, uid: label(UID_LABEL)? }))
}

/// Whether the status of a run names a `TaskRun`.
pub fn lists(run: &PipelineRun, task_run: &TaskRun) -> bool {
    child(run, task_run).is_some()
}

fn child<'a>(run: &'a PipelineRun, task_run: &TaskRun) -> Option<&'a Child> {
    run.children.iter().find(|child| child.kind == TASK_RUN && child.name == task_run.facts.name)
}

/// The facts of the `PipelineRun` that was found for what the `TaskRun` claims. One that has not ended may list the `TaskRun` in a
/// moment: Tekton writes its status after it has made the `TaskRun`.
///
/// # Errors
/// If the API server gives no usable answer.
pub async fn verify(
    cluster: &Cluster,
    namespace: &str,
    found: Option<&Arc<PipelineRun>>,
    task_run: &TaskRun,
) -> Result<Chain<PipelineRunFacts>, ClusterError> {
    let Some(run) = found.filter(|run| !run.is_completed) else {
        return Ok(Chain::Broken(Link::PipelineRun));
    };
    let Some(child) = child(run, task_run) else {
        return Ok(Chain::NotYet(Link::PipelineRun));
    };
    if !task_order::is_only_child_of_task(run, child) {
        return Ok(Chain::Broken(Link::TaskRunAlone));
    }
    if !task_order::predecessors_ended(cluster, namespace, run, child, task_run).await? {
        return Ok(Chain::Broken(Link::TaskRunTurn));
    }
    Ok(Chain::Verified(run.facts.clone()))
}
