"""Tekton's controller runs the chart's Tasks `claviger-fetch` and `claviger-curl`, attested by PipelineRun"""
import json

from cluster import apply, get, kubectl, until
from place import CHECKOUT
from pods import CONTAINER, RESTRICTED
from product import volume
from report import expect

TASKS = CHECKOUT / "charts" / "claviger" / "tekton"
SHOW = ["sh", "-c", 'echo "NPM_TOKEN=$NPM_TOKEN; $(cat file)"']


def clone_and_build(script, task, params):
    """The spec of a pipeline that clones with `script`, then runs `task` with these parameters."""
    source = [{"name": "source", "workspace": "source"}]
    clone = {"workspaces": [{"name": "source"}], "steps": [{
        "name": "clone", "image": "build:1", "workingDir": "$(workspaces.source.path)", "securityContext": {**RESTRICTED, **CONTAINER},
        "script": f"#!/bin/sh\nset -eu\n{script}"}]}
    return {"params": [{"name": "repo"}, {"name": "branch"}], "workspaces": [{"name": "source"}], "tasks": [
        {"name": "clone", "taskSpec": clone, "workspaces": source},
        {"name": "build", "runAfter": ["clone"], "taskRef": {"name": task}, "params": params, "workspaces": source}]}


def as_params(values):
    return [{"name": key, "value": value} for key, value in values.items()]


def pipeline(name, task, repo="$(params.repo)"):
    """Clones, then builds with `task`. With another repo, the TaskRun asks for what its PipelineRun does not say."""
    params = {"repo": repo, "branch": "$(params.branch)", "image": "build:1"}
    if task == "claviger-curl":
        params["curl-image"] = "build:1"
    return {"apiVersion": "tekton.dev/v1", "kind": "Pipeline", "metadata": {"name": name, "namespace": "ci"},
            "spec": clone_and_build("echo cloned >file\n", task, as_params(params) + [{"name": "run", "value": SHOW}])}


def start(run, name, repo="site", branch="main"):
    kubectl("-n", "ci", "delete", "pipelinerun", run, "--ignore-not-found")
    apply({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": run, "namespace": "ci"}, "spec": {
        "pipelineRef": {"name": name}, "taskRunTemplate": {"serviceAccountName": "tekton-bot", "podTemplate": {"securityContext": {"fsGroup": 65532}}},
        "params": as_params({"repo": repo, "branch": branch}),
        "workspaces": [{"name": "source", "persistentVolumeClaim": {"claimName": "source"}}]}})


def ended(run):
    return ended_in("ci", run)


def ended_in(namespace, run, seconds=180):
    """The outcome of a run: its reason, and the log and steps of its TaskRun `build`."""

    def condition():
        conditions = get("-n", namespace, "pipelinerun", run)["status"].get("conditions", [])
        return next((found for found in conditions if found["type"] == "Succeeded" and found["status"] != "Unknown"), None)

    reason = until(f"PipelineRun {run} has ended", condition, seconds)["reason"]
    tasks = get("-n", namespace, "taskrun", "-l", f"tekton.dev/pipelineRun={run},tekton.dev/pipelineTask=build")["items"]
    if not tasks:
        return reason, kubectl("-n", namespace, "describe", "pipelinerun", run)[-600:], []
    log = kubectl("-n", namespace, "logs", tasks[0]["status"]["podName"], "--all-containers")
    return reason, log, tasks[0]["status"].get("steps", [])


def install():
    kubectl("apply", "-n", "ci", "-f", TASKS)
    volume("source", 65532)
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "source", "namespace": "ci"},
           "spec": {"volumeName": "source", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})


def walk():
    install()
    for task in ["claviger-fetch", "claviger-curl"]:
        apply(pipeline(f"site-{task}", task))
        start(f"site-{task}", f"site-{task}")
        reason, log, _ = ended(f"site-{task}")
        expect(f"a PipelineRun clones, then `{task}` runs the build with the secrets of its repo", f"{reason}: {log[-200:]}",
               reason == "Succeeded" and "NPM_TOKEN=it's the token of main; cloned" in log)
    apply(pipeline("greedy", "claviger-fetch", repo="other"))
    start("greedy", "greedy")
    reason, log, steps = ended("greedy")
    codes = {step["name"]: step.get("terminated", {}).get("exitCode") for step in steps}
    expect("a TaskRun that asks for another repo than its PipelineRun fails with exit code 3, and the build does not run",
           f"{reason}: {json.dumps(codes)} {log[:250]}", reason == "Failed" and codes.get("fetch") == 3 and "attestation_failed" in log)
