//! The fifty pods in a real cluster.

use super::book::{Book, Pair, Role};
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::tekton::{Build, Plan};
use serde_json::{Value, json};

const DONE: &str = "2026-01-01T00:00:00Z";

/// A pod and its role.
pub struct Player<'a> {
    pub role: Role<'a>,
    pub pod: PodActor,
}

/// Creates all pods in order: a forged pod needs the objects that it copies.
pub async fn assemble<'a>(kube: &Kube, book: &'a Book) -> Vec<Player<'a>> {
    let (mut players, mut runs) = (Vec::new(), Vec::new());
    for role in book.roles() {
        let pod = match role.how {
            "run" | "v1beta1" | "over" | "done" => {
                let build = kube.build(role.account, plan(&role)).await;
                if role.how == "run" {
                    runs.push((role.says, Run::of(&build)));
                }
                build.pod
            }
            "stolen" => {
                let owner = &victim(&runs, role.says).task_run_owner;
                let labels = &victim(&runs, role.says).labels;
                kube.pod_with(role.account, json!({"labels": labels, "ownerReferences": [owner]})).await
            }
            "adopted" => adopted(kube, role.account, victim(&runs, role.says)).await,
            "labels" => kube.pod_with(role.account, json!({"labels": victim(&runs, role.says).labels})).await,
            "pod" => {
                let labels = role.says.repo.map(|repo| json!({"oracle.example/repo": repo}));
                kube.pod_with(role.account, json!({"labels": labels})).await
            }
            other => panic!("{other}"),
        };
        players.push(Player { role, pod });
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
            task_run_owner: build.task_run.owner(),
            pipeline_run_owner: build.pipeline_run.owner(),
        }
    }
}

fn victim<'r>(runs: &'r [(Pair, Run)], says: Pair) -> &'r Run {
    let first = runs.iter().find(|(pair, _)| *pair == says);
    first.map_or_else(|| panic!("no run of {says:?}"), |(_, run)| run)
}

fn plan(role: &Role) -> Plan {
    let param = |(name, value): (&str, Option<&str>)| Some(json!({"name": name, "value": value?}));
    let params: Vec<Value> =
        [("repo", role.says.repo), ("branch", role.says.branch)].into_iter().filter_map(param).collect();
    let done_if = |how| if role.how == how { json!({"completionTime": DONE}) } else { json!({}) };
    Plan {
        version: if role.how == "v1beta1" { "v1beta1" } else { "v1" },
        params: json!(params),
        pipeline_run_status: done_if("over"),
        task_run_status: done_if("done"),
        ..Plan::default()
    }
}

/// A pod that a `TaskRun` really created, where the `PipelineRun` of that `TaskRun` does not list it.
async fn adopted(kube: &Kube, account: &str, victim: &Run) -> PodActor {
    let (namespace, _) = account.split_once('/').unwrap();
    let metadata = json!({"ownerReferences": [victim.pipeline_run_owner]});
    let task_run = kube.run("TaskRun", "v1", namespace, metadata, json!({})).await;
    let pod = kube.pod_with(account, json!({"ownerReferences": [task_run.owner()]})).await;
    task_run.has_status(json!({"podName": pod.name})).await;
    pod
}
