"""The Task `claviger-buildah`: Buildah in a pod, with a secret mount"""
from cluster import apply, get, kubectl
from product import volume
from report import expect
from tekton import TASKS, as_params, clone_and_build, ended_in

DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
RUN --mount=type=secret,id=build-env . /run/secrets/build-env && /bin/busybox test -n "$NPM_TOKEN"
"""


def run(name):
    script = f"cp /bin/busybox busybox\ncat >Dockerfile <<'END'\n{DOCKERFILE}END\n"
    params = {"repo": "$(params.repo)", "branch": "$(params.branch)", "destination": "oci:/var/lib/containers/out", "buildah-image": "buildah:1"}
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name, "namespace": "images"}, "spec": {
        "taskRunTemplate": {"serviceAccountName": "tekton-bot", "podTemplate": {"securityContext": {"fsGroup": 65532}}},
        "params": as_params({"repo": "site", "branch": "main"}),
        "workspaces": [{"name": "source", "persistentVolumeClaim": {"claimName": "images"}}],
        "pipelineSpec": clone_and_build(script, "claviger-buildah", as_params(params))}}


def walk():
    kubectl("apply", "-n", "images", "-f", TASKS)
    volume("images", 65532)
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "images", "namespace": "images"},
           "spec": {"volumeName": "images", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    kubectl("-n", "images", "delete", "pipelinerun", "image", "--ignore-not-found")
    apply(run("image"))
    reason, log, _ = ended_in("images", "image")
    expect("an image is built whose RUN reads the secrets", f"{reason}: {log[-300:]}", reason == "Succeeded")
    results = get("-n", "images", "taskrun", "-l", "tekton.dev/pipelineRun=image,tekton.dev/pipelineTask=build")["items"][0]["status"].get("results", [])
    expect("the Task's result is the digest of the image", results, any(str(found["value"]).startswith("sha256:") for found in results))
