"""The chart's admission policy: only Tekton's controller may set a run as an owner"""
import json

from cluster import get, kubectl
from pods import build
from report import expect
from tekton import ended, start

ALICE = ["--as=alice", "--as-group=system:authenticated"]


def walk():
    names = kubectl("get", "validatingadmissionpolicy,validatingadmissionpolicybinding", "-o", "name").split()
    expect("policy and binding are there", " ".join(names), sum("tekton-owners.claviger.dev" in name for name in names) == 2)
    start("with-policy", "site-claviger-fetch")
    reason, _, _ = ended("with-policy")
    expect("builds go on", reason, reason == "Succeeded")
    kubectl("-n", "ci", "delete", "pod/orphan", "taskrun/own", "--ignore-not-found")
    kubectl("-n", "ci", "create", "rolebinding", "alice", "--clusterrole=edit", "--user=alice", check=False)
    run = get("-n", "ci", "taskrun", "-l", "tekton.dev/pipelineRun=with-policy,tekton.dev/pipelineTask=build")["items"][0]["metadata"]
    owner = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": run["name"], "uid": run["uid"], "controller": True}
    for name, owners in [("adopted", [owner]), ("orphan", [])]:
        pod = build(name, "true", account="tekton-bot", labels={"tekton.dev/taskRun": run["name"]})
        pod["metadata"]["ownerReferences"] = owners
        done = create(pod)
        said = done.stderr or done.stdout
        if owners:
            expect("a user's own pod with a TaskRun as its owner is refused", said, done.returncode != 0 and "tekton-owners.claviger.dev" in said)
        else:
            expect("the same pod without the owner is admitted", said, done.returncode == 0)
    uid = get("-n", "ci", "pipelinerun", "with-policy")["metadata"]["uid"]
    task_run = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {
        "name": "adopted", "namespace": "ci", "labels": {"tekton.dev/pipelineRun": "with-policy", "tekton.dev/pipelineTask": "build"},
        "ownerReferences": [{**owner, "kind": "PipelineRun", "name": "with-policy", "uid": uid}]},
        "spec": {"taskSpec": {"steps": [{"name": "a", "image": "build:1", "command": ["true"]}]}}}
    kubectl("create", "clusterrole", "runs", "--verb=create,get", "--resource=taskruns.tekton.dev", check=False)
    kubectl("-n", "ci", "create", "rolebinding", "alice-runs", "--clusterrole=runs", "--user=alice", check=False)
    done = create(task_run)
    expect("a user's own TaskRun with a PipelineRun as its owner is refused", done.stderr,
           done.returncode != 0 and "tekton-owners.claviger.dev" in done.stderr)
    done = create({**task_run, "metadata": {"name": "own", "namespace": "ci"}})
    expect("the same TaskRun without the owner is admitted", done.stderr or done.stdout, done.returncode == 0)


def create(item):
    return kubectl(*ALICE, "create", "-f", "-", given=json.dumps(item), check=False)
