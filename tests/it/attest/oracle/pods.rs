//! The fifty pods in a real cluster.

use super::expected_outcomes::{Oracle, RepoAndBranch, Role};
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::tekton::{Build, BuildSpec};
use serde_json::{Value, json};

const DONE: &str = "2026-01-01T00:00:00Z";

/// A pod and its role in the oracle.
pub struct OraclePod<'a> {
    pub role: Role<'a>,
    pub pod: PodActor,
}

/// Creates all pods in order: a forged pod needs the objects that it copies.
pub async fn create_pods<'a>(kube: &Kube, oracle: &'a Oracle) -> Vec<OraclePod<'a>> {
    let (mut players, mut runs) = (Vec::new(), Vec::new());
    for role in oracle.roles() {
        let pod = match role.how {
            "run" | "v1beta1" | "over" | "done" => {
                let build = kube.build(role.account, build_spec(&role)).await;
                if role.how == "run" {
                    runs.push((role.claim, Run::of(&build)));
                }
                build.pod
            }
            "stolen" => {
                let owner = &victim(&runs, role.claim).task_run_owner;
                let labels = &victim(&runs, role.claim).labels;
                kube.pod_with(role.account, json!({"labels": labels, "ownerReferences": [owner]})).await
            }
            "adopted" => adopted(kube, role.account, victim(&runs, role.claim)).await,
            "labels" => kube.pod_with(role.account, json!({"labels": victim(&runs, role.claim).labels})).await,
            "pod" => {
                let labels = role.claim.repo.map(|repo| json!({"oracle.example/repo": repo}));
                kube.pod_with(role.account, json!({"labels": labels})).await
            }
            other => panic!("{other}"),
        };
        players.push(OraclePod { role, pod });
    }
    players
}

/// The parts of a run that a forged pod claims.
struct Run {
    labels: Value,
    task_run_owner: Value,
    pipeline_run_owner: Value,
}

impl Run {
    fn of(build: &Build) -> Self {
        Self {
            labels: json!({
                "tekton.dev/pipelineRun": build.pipeline_run.name, "tekton.dev/taskRun": build.task_run.name,
            }),
            task_run_owner: build.task_run.owner_reference(),
            pipeline_run_owner: build.pipeline_run.owner_reference(),
        }
    }
}

fn victim<'r>(runs: &'r [(RepoAndBranch, Run)], claim: RepoAndBranch) -> &'r Run {
    let first = runs.iter().find(|(requested, _)| *requested == claim);
    first.map_or_else(|| panic!("no run of {claim:?}"), |(_, run)| run)
}

fn build_spec(role: &Role) -> BuildSpec {
    let param = |(name, value): (&str, Option<&str>)| Some(json!({"name": name, "value": value?}));
    let params: Vec<Value> =
        [("repo", role.claim.repo), ("branch", role.claim.branch)].into_iter().filter_map(param).collect();
    let done_if = |how| if role.how == how { json!({"completionTime": DONE}) } else { json!({}) };
    BuildSpec {
        version: if role.how == "v1beta1" { "v1beta1" } else { "v1" },
        params: json!(params),
        pipeline_run_status: done_if("over"),
        task_run_status: done_if("done"),
        ..BuildSpec::default()
    }
}

/// A pod that a `TaskRun` really created, where the `PipelineRun` of that `TaskRun` does not list it.
async fn adopted(kube: &Kube, account: &str, victim: &Run) -> PodActor {
    let (namespace, _) = account.split_once('/').unwrap();
    let metadata = json!({"ownerReferences": [victim.pipeline_run_owner]});
    let task_run = kube.run("TaskRun", "v1", namespace, metadata, json!({})).await;
    let pod = kube.pod_with(account, json!({"ownerReferences": [task_run.owner_reference()]})).await;
    task_run.set_status(json!({"podName": pod.name})).await;
    pod
}
