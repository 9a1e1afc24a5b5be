//! Finds and verifies the `PipelineRun` of a verified `TaskRun`.

use super::task_order;
use super::task_run::{Chain, Link, TASK_RUN, tekton_controller};
use crate::cluster::pod::Pod;
use crate::cluster::tekton::{Child, PipelineRun, TaskRun, Version};
use crate::cluster::{CallFailure, Cluster, Owner};
use crate::model::facts::PipelineRunFacts;
use std::sync::Arc;

const PIPELINE_RUN: &str = "PipelineRun";
/// Labels that Tekton copies from the run to its pods.
const NAME_LABEL: &str = "tekton.dev/pipelineRun";
const UID_LABEL: &str = "tekton.dev/pipelineRunUID";

/// Version and owner reference of the `PipelineRun` that a `TaskRun` names as its controller. `None` if it names no supported one.
pub fn controlling_run(task_run: &TaskRun) -> Option<(Version, &Owner)> {
    tekton_controller(task_run.controller.as_ref(), PIPELINE_RUN)
}

/// The `PipelineRun` that a pod's labels name. Labels prove nothing, so this run may only be read early, while the `TaskRun` is
/// being verified. `None` if a label is missing, or the pod names no `TaskRun` as its controller.
pub fn labelled_run(pod: &Pod) -> Option<(Version, Owner)> {
    let (version, task_run) = tekton_controller(pod.controller.as_ref(), TASK_RUN)?;
    let label = |name| pod.facts.labels.get(name).cloned();
    let (api_version, kind) = (task_run.api_version.clone(), PIPELINE_RUN.to_owned());
    Some((version, Owner { api_version, kind, name: label(NAME_LABEL)?, uid: label(UID_LABEL)? }))
}

/// Whether the status of a run lists a `TaskRun`.
pub fn lists(run: &PipelineRun, task_run: &TaskRun) -> bool {
    find_child(run, task_run).is_some()
}

fn find_child<'a>(run: &'a PipelineRun, task_run: &TaskRun) -> Option<&'a Child> {
    run.children.iter().find(|child| child.kind == TASK_RUN && child.name == task_run.facts.name)
}

/// Verifies that a `PipelineRun` created a `TaskRun`, and returns the facts of the run. `found` is the run that the `TaskRun`
/// claims as its controller, if it exists. `NotYet` if the status of that run does not list the `TaskRun`: Tekton writes the status
/// after it has created the `TaskRun`.
///
/// # Errors
/// The call to the API server fails.
pub async fn verify(
    cluster: &Cluster,
    namespace: &str,
    found: Option<&Arc<PipelineRun>>,
    task_run: &TaskRun,
) -> Result<Chain<PipelineRunFacts>, CallFailure> {
    let Some(run) = found.filter(|run| !run.is_completed) else {
        return Ok(Chain::Broken(Link::PipelineRun));
    };
    let Some(child) = find_child(run, task_run) else {
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
