//! Pipelines with a loop, which is a `CustomRun`. Tekton has no controller for it: the tests set its status, as the controller of
//! its kind would, and create the `TaskRun`s of its iterations.

use super::{VICTIM, is_refused, outcome_for_repo, outcome_of, with_policy, without_policy};
use crate::rig::kube::User;
use crate::rig::tekton::actors::{LOOP_CONTROLLER, ObjectRef, TektonNamespace, custom_task, task};
use serde_json::{Value, json};

/// A run whose loop `each` is running, between the tasks `clone` and `build`.
async fn looping(namespace: &TektonNamespace, more: &Value) -> ObjectRef {
    let mut each = json!({"runAfter": ["clone"]});
    each.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let tasks =
        json!([task("clone", &json!({})), custom_task("each", &each), task("build", &json!({"runAfter": ["each"]})),]);
    namespace.start_pipeline_run("site", VICTIM, tasks, json!([task("report", &json!({}))])).await
}

/// Waits until a task has this many children. Returns kind and name of each.
async fn children(namespace: &TektonNamespace, task: &str, count: usize) -> Vec<(String, String)> {
    let of_task = |run: &Value| {
        let all = run["status"]["childReferences"].as_array()?;
        let text = |child: &Value, name: &str| child[name].as_str().unwrap().to_owned();
        let of_task = all.iter().filter(|child| child["pipelineTaskName"] == task);
        let found: Vec<_> = of_task.map(|child| (text(child, "kind"), text(child, "name"))).collect();
        (found.len() == count).then_some(found)
    };
    namespace.wait_for("PipelineRun", "site", of_task).await
}

#[test]
fn each_task_around_a_loop_is_served_and_each_iteration_by_its_own_params() {
    with_policy(async |namespace, broker| {
        let run = looping(&namespace, &json!({})).await;
        let clone = namespace.wait_for_pod(&run, "clone", &[]).await;
        assert_eq!(outcome_of(&broker, &clone).await, "VICTIM");
        namespace.start_containers(&clone).await;
        namespace.end_containers(&clone, "Succeeded").await;

        assert_eq!(children(&namespace, "each", 1).await, [("CustomRun".into(), "site-each".into())]);
        let each = namespace.wait_for_object("CustomRun", "site-each").await;
        // The chart names such a controller in `admissionPolicy.others`; here only Tekton's own is named.
        assert!(is_refused(&namespace.create_iteration(LOOP_CONTROLLER, "site-each-0", &each, "acme/alone").await));
        for iteration in ["site-each-1", "site-each-2"] {
            namespace.create_iteration(User::TektonController.name(), iteration, &each, "acme/alone").await.unwrap();
            let pod = namespace.wait_for_pod(&namespace.wait_for_object("TaskRun", iteration).await, "", &[]).await;
            assert_eq!(
                outcome_for_repo(&broker, &pod, "acme/alone").await,
                "ALONE",
                "{iteration}, with its own params"
            );
            assert_eq!(
                outcome_of(&broker, &pod).await,
                "403 attestation_failed",
                "{iteration}, with the params of the run"
            );
            namespace.start_containers(&pod).await;
            namespace.end_containers(&pod, "Succeeded").await;
        }
        assert_eq!(children(&namespace, "each", 1).await.len(), 1, "Tekton adds no iteration");

        namespace.finish_custom_run("site-each").await;
        for name in ["build", "report"] {
            let pod = namespace.wait_for_pod(&run, name, &[]).await;
            assert_eq!(outcome_of(&broker, &pod).await, "VICTIM", "{name}");
            namespace.start_containers(&pod).await;
            namespace.end_containers(&pod, "Succeeded").await;
        }
        namespace.wait_for("PipelineRun", "site", |run| run["status"]["completionTime"].as_str().map(drop)).await;
    });
}

#[test]
fn a_task_after_several_loops_of_one_pipeline_task_is_served() {
    with_policy(async |namespace, broker| {
        let run = looping(&namespace, &json!({"matrix": {"params": [{"name": "os", "value": ["a", "b"]}]}})).await;
        namespace.end_containers(&namespace.wait_for_pod(&run, "clone", &[]).await, "Succeeded").await;
        for (kind, name) in children(&namespace, "each", 2).await {
            assert_eq!(kind, "CustomRun");
            namespace.finish_custom_run(&name).await;
        }
        assert_eq!(outcome_of(&broker, &namespace.wait_for_pod(&run, "build", &[]).await).await, "VICTIM");
    });
}

#[test]
fn with_the_admission_policy_no_task_run_claims_a_loop() {
    with_policy(async |namespace, _broker| {
        let run = looping(&namespace, &json!({})).await;
        namespace.end_containers(&namespace.wait_for_pod(&run, "clone", &[]).await, "Succeeded").await;
        children(&namespace, "each", 1).await;
        assert!(is_refused(&namespace.forge_task_run("evil", &run, "each").await));
    });
}

/// Tekton runs it, but lists only children of the kind that the pipeline task has.
#[test]
fn without_the_policy_a_task_run_that_claims_a_loop_gets_nothing() {
    without_policy(async |namespace, broker| {
        let run = looping(&namespace, &json!({})).await;
        namespace.end_containers(&namespace.wait_for_pod(&run, "clone", &[]).await, "Succeeded").await;
        children(&namespace, "each", 1).await;
        namespace.forge_task_run("evil", &run, "each").await.unwrap();
        let evil = namespace.wait_for_pod(&namespace.wait_for_object("TaskRun", "evil").await, "", &[]).await;
        namespace.start_containers(&evil).await;
        namespace.finish_custom_run("site-each").await;
        // Tekton has processed the run again when the next task has a pod.
        let build = namespace.wait_for_pod(&run, "build", &[]).await;
        assert_eq!(outcome_of(&broker, &build).await, "VICTIM");
        assert_eq!(children(&namespace, "each", 1).await, [("CustomRun".into(), "site-each".into())]);
        let answer = broker.ask(&evil.token, &format!("repo={VICTIM}&branch=main"));
        assert_eq!((answer.status, answer.code().as_str()), (503, "attestation_pending"));
    });
}
