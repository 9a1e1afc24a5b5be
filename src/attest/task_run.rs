//! Finds the `TaskRun` of a pod, and verifies that Tekton created the pod for it.
//!
//! The creator of an object chooses its labels and ownerReferences, so they only say where to look. Only Tekton writes a status, so
//! an owner is accepted only if its status names the object. A status has names and no uids, so an object that replaced another one
//! of the same name is recognised by its age.

use crate::cluster::pod::Pod;
use crate::cluster::tekton::{TaskRun, Version};
use crate::cluster::{CallFailure, Cluster, Owner, Time};
use crate::model::caller::Workload;
use std::time::Duration;

pub const TASK_RUN: &str = "TaskRun";
/// Tolerated difference between the clocks of Tekton's controller and of the API server.
pub const MAX_SKEW: Duration = Duration::from_secs(2);

/// The result of verifying a chain of owners: from a pod to its `TaskRun`, or from a `TaskRun` to its `PipelineRun`.
pub enum Chain<T> {
    /// The status of the owner names the object.
    Verified(T),
    /// Tekton has not yet written the status that this link needs.
    NotYet(Link),
    /// This link is missing or names another object.
    Broken(Link),
}

closed_enum! {
    /// The link of a chain that is not verified, for the log.
    pub enum Link {
        /// The pod is gone, has ended, or is not the pod that the token is bound to.
        Pod => "pod",
        /// The pod's controller is not a Tekton `TaskRun`.
        PodOwner => "pod_owner",
        /// The `TaskRun` is gone, replaced or completed, or it created another pod.
        TaskRun => "task_run",
        /// The pod was created after its containers started, before its `TaskRun`, or before the previous attempt had ended.
        PodAge => "pod_age",
        /// The `TaskRun` was created after its start time.
        TaskRunAge => "task_run_age",
        /// Another `TaskRun` exists for the same task.
        TaskRunAlone => "task_run_alone",
        /// The `TaskRun` was created before the preceding tasks had ended.
        TaskRunTurn => "task_run_turn",
        /// The controller of the `TaskRun` is not a Tekton `PipelineRun`.
        TaskRunOwner => "task_run_owner",
        /// The `PipelineRun` is gone, replaced or completed, or did not create the `TaskRun`.
        PipelineRun => "pipeline_run",
    }
}

/// Finds and verifies the `TaskRun` of a pod.
///
/// # Errors
/// The call to the API server fails.
pub async fn verify(cluster: &Cluster, workload: &Workload, pod: &Pod) -> Result<Chain<TaskRun>, CallFailure> {
    if !pod.is_running_as(workload) {
        return Ok(Chain::Broken(Link::Pod));
    }
    let Some((version, claimed)) = tekton_controller(pod.controller.as_ref(), TASK_RUN) else {
        return Ok(Chain::Broken(Link::PodOwner));
    };
    let found = cluster.task_run(version, &workload.namespace, &claimed.name).await?;
    let Some(run) = found.filter(|run| run.uid == claimed.uid && run.completed.is_none()) else {
        return Ok(Chain::Broken(Link::TaskRun));
    };
    // No clock skew is allowed: if Tekton's clock is behind, Tekton sets the start time to the creation time (`Status.StartTime`,
    // reconciler of TaskRuns).
    if is_younger(run.created, run.started) {
        return Ok(Chain::Broken(Link::TaskRunAge));
    }
    Ok(match run.pod_name.as_deref() {
        None => Chain::NotYet(Link::TaskRun),
        Some(name) if name != workload.pod.name => Chain::Broken(Link::TaskRun),
        Some(_) if is_younger(pod.created, run.first_container_started) => Chain::Broken(Link::PodAge),
        // No clock skew is allowed, because the API server sets both times.
        Some(_) if is_older(pod.created, run.created, Duration::ZERO) => Chain::Broken(Link::PodAge),
        Some(_) if is_older(pod.created, run.last_attempt_ended, MAX_SKEW) => Chain::Broken(Link::PodAge),
        Some(_) => Chain::Verified(run),
    })
}

/// Whether an object was created after the start that is recorded for it. Then it has replaced the object that started. The times
/// have a resolution of one second, so equal times do not count.
fn is_younger(created: Option<Time>, started: Option<Time>) -> bool {
    match (created, started) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(created), Some(started)) => created > started,
    }
}

/// Whether an object was created before `earliest`, by more than `skew`. False without `earliest`.
fn is_older(created: Option<Time>, earliest: Option<Time>, skew: Duration) -> bool {
    earliest.is_some_and(|earliest| created.is_none_or(|created| created.is_before(earliest, skew)))
}

/// Tekton's API version in an owner reference. `None` if the version is not supported.
pub fn version(owner: &Owner) -> Option<Version> {
    Version::from_name(&owner.api_version)
}

/// The controller with its version. `None` if it is not a Tekton object of this kind and of a supported version.
pub fn tekton_controller<'a>(controller: Option<&'a Owner>, kind: &str) -> Option<(Version, &'a Owner)> {
    let owner = controller.filter(|owner| owner.kind == kind)?;
    Some((version(owner)?, owner))
}
