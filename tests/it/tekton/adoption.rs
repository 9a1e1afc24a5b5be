//! `TaskRun`s that claim to be a task of another run. Tekton adopts them by labels and an owner.

use super::{VICTIM, is_refused, told, with};
use crate::rig::tekton::actors::{Thing, Workshop, task};
use serde_json::json;
use std::time::Duration;

/// A run whose task `clone` is running and whose task `build` comes after it.
async fn victim(place: &Workshop) -> Thing {
    let tasks = json!([task("clone", &json!({})), task("build", &json!({"runAfter": ["clone"]}))]);
    let run = place.starts("victim", VICTIM, tasks, json!([])).await;
    place.when("PipelineRun", "victim", |run| run["status"]["childReferences"].get(0).map(drop)).await;
    run
}

/// The tasks that can be claimed, each with the name of the forged `TaskRun`: a running task; a task that has not
/// started, under any name; and the same task under the name that Tekton will use.
const ROADS: [(&str, &str); 3] = [("clone", "evil-clone"), ("build", "evil-build"), ("build", "victim-build")];

#[test]
fn with_the_admission_policy_none_is_made_and_the_build_goes_on() {
    with(true, async |place, broker| {
        let run = victim(&place).await;
        for (task, name) in ROADS {
            assert!(is_refused(&place.task_run_of_mallorys(name, &run, task).await), "{task} {name}");
        }
        for task in ["clone", "build"] {
            let pod = place.pod(&run, task, &[]).await;
            assert_eq!(told(&broker, &pod).await, "VICTIM", "{task}");
            place.ends(&pod, "Succeeded").await;
        }
    });
}

#[test]
fn without_it_a_second_task_run_of_one_task_gets_nothing() {
    with(false, async |place, broker| {
        let run = victim(&place).await;
        let honest = place.pod(&run, "clone", &[]).await;
        assert_eq!(told(&broker, &honest).await, "VICTIM");
        place.task_run_of_mallorys("evil-clone", &run, "clone").await.unwrap();
        let is_adopted = |run: &serde_json::Value| {
            let children = run["status"]["childReferences"].as_array()?;
            children.iter().any(|child| child["name"] == "evil-clone").then_some(())
        };
        place.when("PipelineRun", "victim", is_adopted).await;
        let evil = place.pod(&Thing { kind: "TaskRun", ..place.thing("TaskRun", "evil-clone").await }, "", &[]).await;
        assert_eq!(told(&broker, &evil).await, "403 attestation_failed");
        place.runs(&evil).await;
        assert_eq!(told(&broker, &evil).await, "403 attestation_failed");
    });
}

#[test]
fn without_it_a_task_run_that_is_older_than_its_turn_gets_nothing() {
    for (task, name) in &ROADS[1..] {
        with(false, async |place, broker| {
            let run = victim(&place).await;
            let evil = place.task_run_of_mallorys(name, &run, task).await.unwrap();
            assert_eq!(evil["kind"], "TaskRun");
            let evil = place.pod(&place.thing("TaskRun", name).await, "", &[]).await;
            let clone = place.pod(&run, "clone", &[]).await;
            assert_eq!(told(&broker, &evil).await, "403 attestation_failed", "{name}: before its turn");
            // Longer than the accepted difference of clocks.
            tokio::time::sleep(Duration::from_secs(4)).await;
            place.runs(&clone).await;
            place.ends(&clone, "Succeeded").await;
            let is_done = |run: &serde_json::Value| run["status"]["completionTime"].as_str().map(drop);
            place.when("TaskRun", "victim-clone", is_done).await;
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(told(&broker, &evil).await, "403 attestation_failed", "{name}: in its turn");
        });
    }
}
