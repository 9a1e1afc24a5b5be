//! From a verified `TaskRun` to its `PipelineRun`.

use super::task_run::{Chain, Link, TASK_RUN, claim};
use super::turn;
use crate::cluster::tekton::{Child, TaskRun};
use crate::cluster::{Cluster, ClusterError};
use crate::model::facts::PipelineRunFacts;

const PIPELINE_RUN: &str = "PipelineRun";

/// The facts of the `PipelineRun`. One that has not ended may list the `TaskRun` in a moment: Tekton writes its status after it
/// has made the `TaskRun`.
///
/// # Errors
/// If the API server gives no usable answer.
pub async fn verify(
    cluster: &Cluster,
    namespace: &str,
    task_run: &TaskRun,
) -> Result<Chain<PipelineRunFacts>, ClusterError> {
    let Some((version, claimed)) = claim(task_run.controller.as_ref(), PIPELINE_RUN) else {
        return Ok(Chain::Broken(Link::TaskRunOwner));
    };
    let found = cluster.pipeline_run(version, namespace, &claimed.name).await?;
    let Some(run) = found.filter(|run| run.uid == claimed.uid && !run.is_completed) else {
        return Ok(Chain::Broken(Link::PipelineRun));
    };
    let is_it = |child: &&Child| child.kind == TASK_RUN && child.name == task_run.facts.name;
    let Some(child) = run.children.iter().find(is_it) else {
        return Ok(Chain::NotYet(Link::PipelineRun));
    };
    if !turn::is_alone(&run, child) {
        return Ok(Chain::Broken(Link::TaskRunAlone));
    }
    if !turn::has_come(cluster, namespace, &run, child, task_run).await? {
        return Ok(Chain::Broken(Link::TaskRunTurn));
    }
    Ok(Chain::Verified(run.facts))
}
