//! `TaskRun`s that claim to be a task of another run. Tekton adopts them by labels and an owner.

use super::{VICTIM, is_refused, outcome_of, with_policy, without_policy};
use crate::rig::tekton::actors::{ObjectRef, TektonNamespace, task};
use serde_json::json;
use std::time::Duration;

/// A run whose task `clone` is running and whose task `build` comes after it.
async fn victim(namespace: &TektonNamespace) -> ObjectRef {
    let tasks = json!([task("clone", &json!({})), task("build", &json!({"runAfter": ["clone"]}))]);
    let run = namespace.start_pipeline_run("victim", VICTIM, tasks, json!([])).await;
    namespace.wait_for("PipelineRun", "victim", |run| run["status"]["childReferences"].get(0).map(drop)).await;
    run
}

/// The tasks to claim, each with the name of the forged `TaskRun`: a running task; a task that has not
/// started, under any name; and the same task under the name that Tekton will use.
const CLAIMS: [(&str, &str); 3] = [("clone", "evil-clone"), ("build", "evil-build"), ("build", "victim-build")];

#[test]
fn with_the_admission_policy_forgeries_are_refused_and_the_build_continues() {
    with_policy(async |namespace, broker| {
        let run = victim(&namespace).await;
        for (task, name) in CLAIMS {
            assert!(is_refused(&namespace.forge_task_run(name, &run, task).await), "{task} {name}");
        }
        for task in ["clone", "build"] {
            let pod = namespace.wait_for_pod(&run, task, &[]).await;
            assert_eq!(outcome_of(&broker, &pod).await, "VICTIM", "{task}");
            namespace.end_containers(&pod, "Succeeded").await;
        }
    });
}

#[test]
fn without_the_policy_a_second_task_run_of_one_task_gets_nothing() {
    without_policy(async |namespace, broker| {
        let run = victim(&namespace).await;
        let honest = namespace.wait_for_pod(&run, "clone", &[]).await;
        assert_eq!(outcome_of(&broker, &honest).await, "VICTIM");
        namespace.forge_task_run("evil-clone", &run, "clone").await.unwrap();
        let is_adopted = |run: &serde_json::Value| {
            let children = run["status"]["childReferences"].as_array()?;
            children.iter().any(|child| child["name"] == "evil-clone").then_some(())
        };
        namespace.wait_for("PipelineRun", "victim", is_adopted).await;
        let evil = namespace
            .wait_for_pod(
                &ObjectRef { kind: "TaskRun", ..namespace.wait_for_object("TaskRun", "evil-clone").await },
                "",
                &[],
            )
            .await;
        assert_eq!(outcome_of(&broker, &evil).await, "403 attestation_failed");
        namespace.start_containers(&evil).await;
        assert_eq!(outcome_of(&broker, &evil).await, "403 attestation_failed");
    });
}

#[test]
fn without_the_policy_a_task_run_older_than_the_previous_task_gets_nothing() {
    for (task, name) in &CLAIMS[1..] {
        without_policy(async |namespace, broker| {
            let run = victim(&namespace).await;
            let evil = namespace.forge_task_run(name, &run, task).await.unwrap();
            assert_eq!(evil["kind"], "TaskRun");
            let evil = namespace.wait_for_pod(&namespace.wait_for_object("TaskRun", name).await, "", &[]).await;
            let clone = namespace.wait_for_pod(&run, "clone", &[]).await;
            assert_eq!(
                outcome_of(&broker, &evil).await,
                "403 attestation_failed",
                "{name}: before the previous task ends"
            );
            // Longer than the accepted difference of clocks.
            tokio::time::sleep(Duration::from_secs(4)).await;
            namespace.start_containers(&clone).await;
            namespace.end_containers(&clone, "Succeeded").await;
            let is_done = |run: &serde_json::Value| run["status"]["completionTime"].as_str().map(drop);
            namespace.wait_for("TaskRun", "victim-clone", is_done).await;
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(
                outcome_of(&broker, &evil).await,
                "403 attestation_failed",
                "{name}: after the previous task ended"
            );
        });
    }
}
