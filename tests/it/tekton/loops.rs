//! Pipelines in which a `CustomRun` loops. A `CustomRun` has no controller of Tekton's: the tests set its status, as the controller of
//! its kind would, and create the `TaskRun`s of its iterations.

use super::{VICTIM, is_refused, told, told_of, with};
use crate::rig::kube::User;
use crate::rig::tekton::actors::{LOOPS, Thing, Workshop, custom_task, task};
use serde_json::{Value, json};

/// A run whose loop `each` is running, between the tasks `clone` and `build`.
async fn looping(place: &Workshop, more: &Value) -> Thing {
    let mut each = json!({"runAfter": ["clone"]});
    each.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let tasks =
        json!([task("clone", &json!({})), custom_task("each", &each), task("build", &json!({"runAfter": ["each"]})),]);
    place.starts("site", VICTIM, tasks, json!([task("report", &json!({}))])).await
}

/// The children of a task of the run, once there are so many: kind and name.
async fn children(place: &Workshop, task: &str, count: usize) -> Vec<(String, String)> {
    let of_task = |run: &Value| {
        let all = run["status"]["childReferences"].as_array()?;
        let text = |child: &Value, name: &str| child[name].as_str().unwrap().to_owned();
        let of_task = all.iter().filter(|child| child["pipelineTaskName"] == task);
        let found: Vec<_> = of_task.map(|child| (text(child, "kind"), text(child, "name"))).collect();
        (found.len() == count).then_some(found)
    };
    place.when("PipelineRun", "site", of_task).await
}

#[test]
fn each_task_around_a_loop_is_served_and_each_iteration_by_its_own_params() {
    with(true, async |place, broker| {
        let run = looping(&place, &json!({})).await;
        let clone = place.pod(&run, "clone", &[]).await;
        assert_eq!(told(&broker, &clone).await, "VICTIM");
        place.runs(&clone).await;
        place.ends(&clone, "Succeeded").await;

        assert_eq!(children(&place, "each", 1).await, [("CustomRun".into(), "site-each".into())]);
        let each = place.thing("CustomRun", "site-each").await;
        // The chart names such a controller in `admissionPolicy.others`; here only Tekton's own is named.
        assert!(is_refused(&place.iterates(LOOPS, "site-each-0", &each, "acme/alone").await));
        for iteration in ["site-each-1", "site-each-2"] {
            place.iterates(User::TektonController.name(), iteration, &each, "acme/alone").await.unwrap();
            let pod = place.pod(&place.thing("TaskRun", iteration).await, "", &[]).await;
            assert_eq!(told_of(&broker, &pod, "acme/alone").await, "ALONE", "{iteration}, by its own params");
            assert_eq!(told(&broker, &pod).await, "403 attestation_failed", "{iteration}, by those of the run");
            place.runs(&pod).await;
            place.ends(&pod, "Succeeded").await;
        }
        assert_eq!(children(&place, "each", 1).await.len(), 1, "Tekton adds no iteration");

        place.ends_custom_run("site-each").await;
        for name in ["build", "report"] {
            let pod = place.pod(&run, name, &[]).await;
            assert_eq!(told(&broker, &pod).await, "VICTIM", "{name}");
            place.runs(&pod).await;
            place.ends(&pod, "Succeeded").await;
        }
        place.when("PipelineRun", "site", |run| run["status"]["completionTime"].as_str().map(drop)).await;
    });
}

#[test]
fn a_task_after_several_loops_of_one_pipeline_task_is_served() {
    with(true, async |place, broker| {
        let run = looping(&place, &json!({"matrix": {"params": [{"name": "os", "value": ["a", "b"]}]}})).await;
        place.ends(&place.pod(&run, "clone", &[]).await, "Succeeded").await;
        for (kind, name) in children(&place, "each", 2).await {
            assert_eq!(kind, "CustomRun");
            place.ends_custom_run(&name).await;
        }
        assert_eq!(told(&broker, &place.pod(&run, "build", &[]).await).await, "VICTIM");
    });
}

#[test]
fn with_the_admission_policy_no_task_run_claims_a_loop() {
    with(true, async |place, _broker| {
        let run = looping(&place, &json!({})).await;
        place.ends(&place.pod(&run, "clone", &[]).await, "Succeeded").await;
        children(&place, "each", 1).await;
        assert!(is_refused(&place.task_run_of_mallorys("evil", &run, "each").await));
    });
}

/// Tekton runs it, but lists only children of the kind that the pipeline task has.
#[test]
fn without_it_a_task_run_that_claims_a_loop_gets_nothing() {
    with(false, async |place, broker| {
        let run = looping(&place, &json!({})).await;
        place.ends(&place.pod(&run, "clone", &[]).await, "Succeeded").await;
        children(&place, "each", 1).await;
        place.task_run_of_mallorys("evil", &run, "each").await.unwrap();
        let evil = place.pod(&place.thing("TaskRun", "evil").await, "", &[]).await;
        place.runs(&evil).await;
        place.ends_custom_run("site-each").await;
        // Tekton has looked at the run again when the next task has a pod.
        let build = place.pod(&run, "build", &[]).await;
        assert_eq!(told(&broker, &build).await, "VICTIM");
        assert_eq!(children(&place, "each", 1).await, [("CustomRun".into(), "site-each".into())]);
        let answer = broker.ask(&evil.token, &format!("repo={VICTIM}&branch=main"));
        assert_eq!((answer.status, answer.code().as_str()), (503, "attestation_pending"));
    });
}
