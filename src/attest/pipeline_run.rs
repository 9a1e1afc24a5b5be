//! From a pod to the `PipelineRun` it works for, verified backwards.
//!
//! Labels and ownerReferences are the word of whoever made the object, so each of them only says where to look. Status
//! is Tekton's own word, and each step up is believed only for the status above it, which must point back down.

use crate::cluster::pod::Pod;
use crate::cluster::tekton::Version;
use crate::cluster::{Cluster, ClusterError, Owner};
use crate::model::caller::Workload;
use crate::model::facts::PipelineRunFacts;

const TASK_RUN: &str = "TaskRun";
const PIPELINE_RUN: &str = "PipelineRun";

/// Where the chain breaks, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The pod is gone, or not at work as the token says.
    Pod,
    /// No `TaskRun` of Tekton's controls the pod.
    PodOwner,
    /// The `TaskRun` is gone, replaced, done, or made another pod.
    TaskRun,
    /// No `PipelineRun` of Tekton's controls the `TaskRun`.
    TaskRunOwner,
    /// The `PipelineRun` is gone, replaced, done, or did not make the `TaskRun`.
    PipelineRun,
}

impl Link {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::PodOwner => "pod_owner",
            Self::TaskRun => "task_run",
            Self::TaskRunOwner => "task_run_owner",
            Self::PipelineRun => "pipeline_run",
        }
    }
}

/// The facts of the `PipelineRun`, or the link at which the chain breaks.
///
/// # Errors
/// When nobody knows.
pub async fn verify(
    cluster: &Cluster,
    workload: &Workload,
    pod: &Pod,
) -> Result<Result<PipelineRunFacts, Link>, ClusterError> {
    if !pod.is_at_work_as(workload) {
        return Ok(Err(Link::Pod));
    }
    let namespace = &workload.namespace;

    let Some((version, claimed)) = claim(pod.controller.as_ref(), TASK_RUN) else { return Ok(Err(Link::PodOwner)) };
    let task_run = match cluster.task_run(version, namespace, &claimed.name).await? {
        Some(run)
            if run.uid == claimed.uid && run.pod_name.as_deref() == Some(&workload.pod.name) && !run.is_completed =>
        {
            run
        }
        _ => return Ok(Err(Link::TaskRun)),
    };
    let task_run_name = &claimed.name;

    let Some((version, claimed)) = claim(task_run.controller.as_ref(), PIPELINE_RUN) else {
        return Ok(Err(Link::TaskRunOwner));
    };
    match cluster.pipeline_run(version, namespace, &claimed.name).await? {
        Some(run)
            if run.uid == claimed.uid
                && run.children.iter().any(|child| child.kind == TASK_RUN && child.name == *task_run_name)
                && !run.is_completed =>
        {
            Ok(Ok(run.facts))
        }
        _ => Ok(Err(Link::PipelineRun)),
    }
}

/// The controller, where it is said to be one of Tekton's of this kind.
fn claim<'a>(controller: Option<&'a Owner>, kind: &str) -> Option<(Version, &'a Owner)> {
    let owner = controller.filter(|owner| owner.kind == kind)?;
    Some((Version::of(&owner.api_version)?, owner))
}
