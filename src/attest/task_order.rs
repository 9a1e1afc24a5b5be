//! Whether a `TaskRun` is the only one of its pipeline task, and was created after the preceding tasks had ended.
//!
//! Tekton adopts a `TaskRun` that has the labels of a run and names the run as its owner, so the run's status may list `TaskRun`s
//! created by others. This check refuses those `TaskRun`s that Tekton would not have created at that time. It cannot recognise
//! every foreign `TaskRun`; only the admission policy prevents them.

use super::task_run::{MAX_SKEW, TASK_RUN, version};
use crate::cluster::tekton::{Child, PipelineRun, TaskRun};
use crate::cluster::{CallFailure, Cluster, Time};
use futures_util::future::try_join_all;
use std::collections::BTreeSet;

/// Maximum number of preceding `TaskRun`s that are checked. Further ones are not checked.
const MAX_PREDECESSORS: usize = 16;

/// Whether the run lists no other child of the same task, or the task has a matrix and so several children. A task with retries has
/// one `TaskRun` for all attempts.
pub fn is_only_child_of_task(run: &PipelineRun, child: &Child) -> bool {
    let task = &child.pipeline_task_name;
    run.tasks.get(task).is_some_and(|task| task.has_matrix)
        || run.children.iter().filter(|other| other.pipeline_task_name == *task).count() == 1
}

/// Whether all preceding tasks had ended when the `TaskRun` was created. False also if a preceding `TaskRun` does not exist.
///
/// # Errors
/// The call to the API server fails.
pub async fn predecessors_ended(
    cluster: &Cluster,
    namespace: &str,
    run: &PipelineRun,
    child: &Child,
    task_run: &TaskRun,
) -> Result<bool, CallFailure> {
    let Some(version) = task_run.controller.as_ref().and_then(version) else { return Ok(false) };
    let names = predecessors(run, &child.pipeline_task_name);
    let found = names.into_iter().take(MAX_PREDECESSORS).map(|name| cluster.task_run(version, namespace, name));
    let found = try_join_all(found).await?;
    let has_ended = |predecessor: Option<TaskRun>| {
        predecessor.and_then(|run| run.completed).is_some_and(|completed| was_created_after(task_run, completed))
    };
    Ok(found.into_iter().all(has_ended))
}

fn was_created_after(task_run: &TaskRun, completed: Time) -> bool {
    task_run.created.is_some_and(|created| !created.is_before(completed, MAX_SKEW))
}

/// The names of the `TaskRun`s of the preceding tasks. A skipped task has no `TaskRun`; it is replaced by the tasks that precede
/// it.
fn predecessors<'a>(run: &'a PipelineRun, task: &str) -> Vec<&'a str> {
    let (mut names, mut visited) = (Vec::new(), BTreeSet::new());
    let mut pending: Vec<&str> = preceding_tasks(run, task).collect();
    while let Some(task) = pending.pop() {
        if !visited.insert(task) {
            continue;
        }
        let mut children = run.children.iter().filter(|child| child.pipeline_task_name == task).peekable();
        if children.peek().is_none() {
            pending.extend(preceding_tasks(run, task));
        }
        names.extend(children.filter(|child| child.kind == TASK_RUN).map(|child| child.name.as_str()));
    }
    names
}

fn preceding_tasks<'a>(run: &'a PipelineRun, task: &str) -> impl Iterator<Item = &'a str> {
    run.tasks.get(task).into_iter().flat_map(|task| task.after.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tekton::PipelineTask;
    use crate::model::facts::PipelineRunFacts;
    use std::collections::BTreeMap;

    fn run(tasks: &[(&str, &[&str])], children: &[(&str, &str, &str)]) -> PipelineRun {
        let task = |(name, after): &(&str, &[&str])| {
            let after = after.iter().map(|name| (*name).to_owned()).collect();
            ((*name).to_owned(), PipelineTask { after, has_matrix: name.starts_with("matrix") })
        };
        let child = |(task, kind, name): &(&str, &str, &str)| Child {
            kind: (*kind).into(),
            name: (*name).into(),
            pipeline_task_name: (*task).into(),
        };
        PipelineRun {
            uid: "u".into(),
            children: children.iter().map(child).collect(),
            tasks: tasks.iter().map(task).collect::<BTreeMap<_, _>>(),
            is_completed: false,
            facts: PipelineRunFacts::default(),
        }
    }

    #[test]
    fn a_second_child_of_a_task_is_refused_unless_the_task_has_a_matrix() {
        let children = [("a", TASK_RUN, "a-1"), ("matrix", TASK_RUN, "m-1"), ("matrix", TASK_RUN, "m-2")];
        let honest = run(&[("a", &[]), ("matrix", &[])], &children);
        assert!(honest.children.iter().all(|child| is_only_child_of_task(&honest, child)));
        for kind in [TASK_RUN, "CustomRun"] {
            let claimed = run(&[("a", &[])], &[("a", TASK_RUN, "a-1"), ("a", kind, "evil")]);
            assert!(!claimed.children.iter().any(|child| is_only_child_of_task(&claimed, child)), "{kind}");
        }
        let unknown = run(&[], &[("a", TASK_RUN, "a-1"), ("a", TASK_RUN, "evil"), ("b", TASK_RUN, "b-1")]);
        let is_only: Vec<bool> = unknown.children.iter().map(|child| is_only_child_of_task(&unknown, child)).collect();
        assert_eq!(is_only, [false, false, true], "an unknown task has no matrix");
    }

    #[test]
    fn a_skipped_task_is_replaced_by_the_tasks_that_precede_it() {
        let tasks: &[(&str, &[&str])] =
            &[("a", &[]), ("b", &["a"]), ("skipped", &["b", "loop"]), ("loop", &["skipped"]), ("d", &["skipped", "a"])];
        let run = run(tasks, &[("a", TASK_RUN, "a-1"), ("b", TASK_RUN, "b-1"), ("b", "CustomRun", "b-2")]);
        let named = |task| predecessors(&run, task).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(named("d"), BTreeSet::from(["a-1", "b-1"]));
        assert_eq!(named("b"), BTreeSet::from(["a-1"]));
        assert!(named("a").is_empty() && named("nowhere").is_empty());
    }
}
