//! Finds the `TaskRun` of a pod, and verifies the link backwards.
//!
//! The creator of an object chooses its labels and ownerReferences, so they only say where to look. Only Tekton writes a status:
//! each step up is accepted only if the status above points back down. A status has names and no uids, so an object that
//! replaced another one of the same name is recognised by its age.

use crate::cluster::pod::Pod;
use crate::cluster::tekton::{TaskRun, Version};
use crate::cluster::{Cluster, ClusterError, Owner, Time};
use crate::model::caller::Workload;
use std::time::Duration;

pub const TASK_RUN: &str = "TaskRun";
/// Maximum difference between the clocks of Tekton's controller and of the API server.
pub const MAX_SKEW: Duration = Duration::from_secs(2);

/// The result of verifying a chain of objects.
pub enum Chain<T> {
    /// Every link points back down.
    Verified(T),
    /// Tekton has not written this link yet.
    NotYet(Link),
    /// This link is missing or points to another object.
    Broken(Link),
}

/// A link of the chain, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The pod is gone, or not at work as the token says.
    Pod,
    /// No `TaskRun` of Tekton's controls the pod.
    PodOwner,
    /// The `TaskRun` is gone, replaced or completed, or it created another pod.
    TaskRun,
    /// The pod was created after its containers started, or before its `TaskRun`.
    PodAge,
    /// The `TaskRun` was created after its start time.
    TaskRunAge,
    /// Another `TaskRun` exists for the same task.
    TaskRunAlone,
    /// The `TaskRun` was created before the tasks before it had ended.
    TaskRunTurn,
    /// No `PipelineRun` of Tekton's controls the `TaskRun`.
    TaskRunOwner,
    /// The `PipelineRun` is gone, replaced or completed, or did not create the `TaskRun`.
    PipelineRun,
}

impl Link {
    /// The value in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::PodOwner => "pod_owner",
            Self::TaskRun => "task_run",
            Self::PodAge => "pod_age",
            Self::TaskRunAge => "task_run_age",
            Self::TaskRunAlone => "task_run_alone",
            Self::TaskRunTurn => "task_run_turn",
            Self::TaskRunOwner => "task_run_owner",
            Self::PipelineRun => "pipeline_run",
        }
    }
}

/// The `TaskRun` of a pod.
///
/// # Errors
/// If the API server gives no usable answer.
pub async fn verify(cluster: &Cluster, workload: &Workload, pod: &Pod) -> Result<Chain<TaskRun>, ClusterError> {
    if !pod.is_running_as(workload) {
        return Ok(Chain::Broken(Link::Pod));
    }
    let Some((version, claimed)) = claim(pod.controller.as_ref(), TASK_RUN) else {
        return Ok(Chain::Broken(Link::PodOwner));
    };
    let found = cluster.task_run(version, &workload.namespace, &claimed.name).await?;
    let Some(run) = found.filter(|run| run.uid == claimed.uid && run.completed.is_none()) else {
        return Ok(Chain::Broken(Link::TaskRun));
    };
    // If Tekton's clock is behind, Tekton sets the start time to the creation time (`Status.StartTime`, reconciler
    // of TaskRuns).
    if is_younger(run.created, run.started) {
        return Ok(Chain::Broken(Link::TaskRunAge));
    }
    Ok(match run.pod_name.as_deref() {
        None => Chain::NotYet(Link::TaskRun),
        Some(name) if name != workload.pod.name => Chain::Broken(Link::TaskRun),
        Some(_) if is_younger(pod.created, run.first_container_started) => Chain::Broken(Link::PodAge),
        // Both are the API server's times.
        Some(_) if is_older(pod.created, run.created, Duration::ZERO) => Chain::Broken(Link::PodAge),
        Some(_) if is_older(pod.created, run.last_attempt_ended, MAX_SKEW) => Chain::Broken(Link::PodAge),
        Some(_) => Chain::Verified(run),
    })
}

/// Whether an object was created after something in it had started. The times have a resolution of one second, so
/// equal times do not count.
fn is_younger(created: Option<Time>, started: Option<Time>) -> bool {
    match (created, started) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(created), Some(started)) => created > started,
    }
}

/// Whether an object was created before its owner, by more than the clock skew.
fn is_older(created: Option<Time>, made_for: Option<Time>, skew: Duration) -> bool {
    made_for.is_some_and(|made_for| created.is_none_or(|created| created.is_before(made_for, skew)))
}

/// Tekton's API version in the owner reference.
pub fn version(owner: &Owner) -> Option<Version> {
    Version::of(&owner.api_version)
}

/// The controller, if it claims to be a Tekton object of this kind.
pub fn claim<'a>(controller: Option<&'a Owner>, kind: &str) -> Option<(Version, &'a Owner)> {
    let owner = controller.filter(|owner| owner.kind == kind)?;
    Some((version(owner)?, owner))
}
