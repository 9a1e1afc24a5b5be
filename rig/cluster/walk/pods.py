"""Pods of builds, and what they print."""
import re

from cluster import apply, get, kubectl, until
from place import CHECKOUT

SERVER = "https://claviger.claviger.svc:8443"
# What the Pod Security level `restricted` demands.
RESTRICTED = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def documented(number=0):
    """The lines for a build pod in docs/CLIENT.md: the first block, or a later one of its section."""
    section = (CHECKOUT / "docs" / "CLIENT.md").read_text().split("## `curl` alone", 1)[1]
    return re.findall(r"```sh\n(.*?)```", section, re.S)[number]


def token(audience="claviger", mode=None):
    source = {"sources": [{"serviceAccountToken": {"audience": audience, "expirationSeconds": 600, "path": "token"}}]}
    return {"name": "token", "projected": {**source, **({"defaultMode": mode} if mode else {})}}


def build(name, script, account="build-bot", image="build:1", repo="site", branch="main", command=None, security=RESTRICTED, volumes=(),
          mounts=(), namespace="ci", labels={}, **more):
    """A build pod as the documentation describes it: a projected token, secrets in memory, the CA of Claviger."""
    variables = {"REPO": repo, "BRANCH": branch, "CLAVIGER_URL": SERVER, "CURL_CA_BUNDLE": "/ca/ca.crt"}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "serviceAccountName": account, "restartPolicy": "Never", "securityContext": security, "automountServiceAccountToken": False,
            "enableServiceLinks": False, "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "build", "image": image, "securityContext": CONTAINER, **({"command": command or ["sh", "-c", script]}),
                "env": [{"name": key, "value": value} for key, value in variables.items()],
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/claviger", "readOnly": True},
                                 {"name": "secrets", "mountPath": "/secrets"}, {"name": "ca", "mountPath": "/ca"}, *mounts]}],
            "volumes": [token(), {"name": "secrets", "emptyDir": {"medium": "Memory"}},
                        {"name": "ca", "configMap": {"name": "claviger-ca"}}, *volumes],
            **more,
        },
    }


def phase(name, namespace="ci"):
    return get("-n", namespace, "pod", name)["status"].get("phase")


def finished(pod, seconds=120):
    """Makes a pod and waits for its end; returns its exit code and its output."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    remove(name, namespace)
    apply(pod)
    until(f"pod {name} has ended", lambda: phase(name, namespace) in ["Succeeded", "Failed"], seconds)
    state = get("-n", namespace, "pod", name)["status"]["containerStatuses"][0]["state"]
    return state["terminated"]["exitCode"], kubectl("-n", namespace, "logs", name)


def remove(name, namespace="ci"):
    kubectl("-n", namespace, "delete", "pod", name, "--ignore-not-found", "--wait=true", "--timeout=60s", seconds=70)
