//! Genuine builds, all with the admission policy active.

use super::{VICTIM, outcome_for_repo, outcome_of, with_policy};
use crate::rig::kube::actors::PodActor;
use crate::rig::tekton::actors::task;
use serde_json::json;

#[test]
fn each_task_of_a_pipeline_is_served_in_its_turn_with_the_defaults_of_the_pipeline() {
    with_policy(async |namespace, broker| {
        let tasks = json!([
            task("clone", &json!({})),
            task("skipped", &json!({"when": [{"input": "a", "operator": "in", "values": ["b"]}]})),
            task("build", &json!({"runAfter": ["clone", "skipped"]})),
            task(
                "guarded",
                &json!({"when": [{"input": "$(params.branch)", "operator": "in", "values": ["main"]}],
                                    "runAfter": ["build"]})
            ),
        ]);
        let run = namespace.start_pipeline_run("site", VICTIM, tasks, json!([task("report", &json!({}))])).await;
        for name in ["clone", "build", "guarded", "report"] {
            let pod = namespace.wait_for_pod(&run, name, &[]).await;
            assert_eq!(outcome_of(&broker, &pod).await, "VICTIM", "{name}, before its steps start");
            namespace.start_containers(&pod).await;
            namespace.end_containers(&pod, "Succeeded").await;
        }
        namespace.wait_for("PipelineRun", "site", |run| run["status"]["completionTime"].as_str().map(drop)).await;
    });
}

#[test]
fn each_attempt_of_a_task_with_retries_is_served() {
    with_policy(async |namespace, broker| {
        let run = namespace
            .start_pipeline_run("site", VICTIM, json!([task("build", &json!({"retries": 2}))]), json!([]))
            .await;
        let mut before = Vec::new();
        for attempt in ["Failed", "Failed", "Succeeded"] {
            let pod =
                namespace.wait_for_pod(&run, "build", &before.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!(outcome_of(&broker, &pod).await, "VICTIM", "{before:?}");
            namespace.start_containers(&pod).await;
            namespace.end_containers(&pod, attempt).await;
            before.push(pod.name.clone());
        }
        assert_eq!(before.len(), 3);
    });
}

#[test]
fn each_pod_of_a_matrix_is_served() {
    with_policy(async |namespace, broker| {
        let matrix = json!({"params": [{"name": "os", "value": ["a", "b", "c"]}]});
        let spec = json!({"params": [{"name": "os"}],
                          "steps": [{"name": "main", "image": "image.invalid", "command": ["/bin/true"]}]});
        let tasks = json!([
            task("build", &json!({"matrix": matrix, "taskSpec": spec})),
            task("after", &json!({"runAfter": ["build"]})),
        ]);
        let run = namespace.start_pipeline_run("site", VICTIM, tasks, json!([])).await;
        let mut pods = Vec::new();
        for _ in 0..3 {
            let before: Vec<String> = pods.iter().map(|pod: &PodActor| pod.name.clone()).collect();
            pods.push(
                namespace.wait_for_pod(&run, "build", &before.iter().map(String::as_str).collect::<Vec<_>>()).await,
            );
        }
        for pod in &pods {
            assert_eq!(outcome_of(&broker, pod).await, "VICTIM");
            namespace.end_containers(pod, "Succeeded").await;
        }
        assert_eq!(outcome_of(&broker, &namespace.wait_for_pod(&run, "after", &[]).await).await, "VICTIM");
    });
}

#[test]
fn a_task_run_alone_attests_by_its_own_params_and_the_defaults_of_its_task() {
    with_policy(async |namespace, broker| {
        let run = namespace.start_task_run("alone", "acme/alone").await;
        let pod = namespace.wait_for_pod(&run, "", &[]).await;
        assert_eq!(outcome_for_repo(&broker, &pod, "acme/alone").await, "ALONE");
        namespace.start_containers(&pod).await;
        assert_eq!(outcome_for_repo(&broker, &pod, "acme/alone").await, "ALONE");
    });
}
