"""The product from its own chart, in a namespace that enforces Pod Security `restricted`"""
import json
import os
import re
import subprocess

from cluster import apply, get, kubectl, store, until
from place import API_SERVER, BIN, CHECKOUT, CONTAINERD, KUBERNETES, NODE_IP, STATE
from pods import phase, remove
from report import expect

VALUES = STATE / "values.json"
PKI = STATE / "pki"
BUILDS = {"subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}], "repos": ["site"],
          "branches": ["main", "feature/**"],
          "secrets": [{"store": "vault", "path": "homelab/shared"}, {"store": "vault", "path": "homelab/{repo}/{branch}"}]}
# Nothing is there for this repo.
EMPTY = {**BUILDS, "repos": ["empty"], "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}]}
# The cluster says what is built: a TaskRun cannot ask for another repo than its PipelineRun.
ATTESTED = {"subjects": [{"kubernetes": {"namespaces": ["ci", "images"], "serviceAccounts": ["tekton-bot"]}}],
            "attest": {"repo": 'caller.pipelineRun.params["repo"]', "branch": 'caller.pipelineRun.params["branch"]'},
            "repos": ["site", "other"], "branches": ["*"], "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}]}


def values(**more):
    return {
        "tls": {"mode": "secret", "secret": "claviger-tls"},
        "config": {
            "authenticators": [{"name": "cluster", "kubernetes": {"audience": "claviger"}}],
            "stores": [{"name": "vault", "vault": {
                "address": f"https://{NODE_IP}:8200", "caFile": "/etc/claviger/ca/ca.crt",
                "auth": {"kubernetes": {"role": "claviger", "tokenFile": "/var/run/secrets/claviger/vault-token"}}}}],
        },
        "storeTokens": [{"file": "vault-token", "audience": "openbao"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "vault-ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/claviger/ca", "readOnly": True}],
        "policies": {"site-builds": BUILDS, "empty-builds": EMPTY, "attested": ATTESTED},
        **more,
    }


def rendered(more):
    """The chart's objects with these values: those of an installation, and those of `helm test`."""
    VALUES.write_text(json.dumps(values(**more)))
    done = subprocess.run([CHECKOUT / "rig" / "helm", "render", CHECKOUT / "charts" / "claviger", VALUES, "claviger", "claviger"],
                          capture_output=True, text=True, check=True)
    documents = re.split(r"^---$", done.stdout, flags=re.M)
    tests = [document for document in documents if "helm.sh/hook: test" in document]
    return [document for document in documents if document not in tests], tests


def install(**more):
    """Applies the chart, as `helm install` would."""
    return apply(*rendered(more)[0], server_side=True)


def tested():
    """Runs the chart's test, as `helm test` would, on the installation; returns the phase and the faults of its pod."""
    remove("claviger-doctor", "claviger")
    apply(*rendered({})[1])
    until("the chart's test has ended", lambda: phase("claviger-doctor", "claviger") in ["Succeeded", "Failed"])
    log = kubectl("-n", "claviger", "logs", "claviger-doctor")
    return phase("claviger-doctor", "claviger"), "; ".join(line for line in log.splitlines() if line.startswith("FAULT"))


def namespaces():
    for name, level in {"claviger": "restricted", "ci": "restricted", "images": "baseline", "claviger-csi": "privileged"}.items():
        apply({"apiVersion": "v1", "kind": "Namespace",
               "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": level}}})
    accounts = [("ci", "build-bot"), ("ci", "other"), ("ci", "tekton-bot"), ("images", "tekton-bot"), ("kube-system", "store")]
    apply(*({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": space}} for space, name in accounts))
    authority = (PKI / "ca.crt").read_text()
    for space, name in [("claviger", "vault-ca"), ("ci", "claviger-ca"), ("images", "claviger-ca"), ("claviger-csi", "claviger-ca")]:
        apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}, "data": {"ca.crt": authority}})
    pair = {"tls.crt": (PKI / "claviger.crt").read_text(), "tls.key": (PKI / "claviger.key").read_text(), "ca.crt": authority}
    apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "claviger-tls", "namespace": "claviger"},
           "stringData": pair})


def volume(name, owner):
    """A folder of the node as a PersistentVolume. fsGroup is not applied to such a folder, so it belongs to the user of the pod."""
    folder = STATE / "volumes" / name
    folder.mkdir(exist_ok=True)
    os.chown(folder, owner, owner)
    apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
           "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(folder)},
                    "persistentVolumeReclaimPolicy": "Retain"}})


def secrets():
    """The store trusts the cluster, and has some secrets."""
    apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "store"},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
           "subjects": [{"kind": "ServiceAccount", "name": "store", "namespace": "kube-system"}]})
    reviewer = kubectl("-n", "kube-system", "create", "token", "store", "--duration=24h").strip()
    store("auth", "enable", "kubernetes", check=False)  # it may be there, from a step before
    store("write", "auth/kubernetes/config", f"kubernetes_host={API_SERVER}", f"kubernetes_ca_cert=@{PKI}/ca.crt", "disable_local_ca_jwt=true",
          "token_reviewer_jwt=-", given=reviewer)
    store("policy", "write", "claviger", "-", given='path "homelab/data/*" { capabilities = ["read"] }')
    store("write", "auth/kubernetes/role/claviger", "bound_service_account_namespaces=claviger", "bound_service_account_names=claviger",
          "audience=openbao", "token_policies=claviger", "token_ttl=1h")
    store("secrets", "enable", "-path=homelab", "kv-v2", check=False)
    store("kv", "put", "homelab/shared", "REGISTRY=registry.example", "NPM_TOKEN=shared-token")
    store("kv", "put", "homelab/site/main", "NPM_TOKEN=it's the token of main")
    store("kv", "put", "homelab/other/main", "NPM_TOKEN=of-another-repo")


def walk():
    namespaces()
    volume("claviger", 65532)
    secrets()
    install()
    kubectl("-n", "claviger", "rollout", "status", "statefulset/claviger", "--timeout=90s", seconds=100)
    pod = get("-n", "claviger", "pod", "claviger-0")
    status = pod["status"]["containerStatuses"][0]
    expect("the StatefulSet of the default chart is Ready, with TLS, its volume and its projected token",
           f"ready {status['ready']}, restarts {status['restartCount']}, image {status['image']}", status["ready"])
    seen, faults = tested()
    expect("the chart's test, `claviger doctor` in a pod, finds no fault", seen if seen == "Succeeded" else f"{seen}: {faults}", seen == "Succeeded")
    refused = kubectl("-n", "claviger", "run", "root", "--image=build:1", check=False)
    expect("the namespace refuses a pod that does not comply with `restricted`", refused.stderr[:110], "violates PodSecurity" in refused.stderr)
    version = kubectl("get", "node", "-o", "jsonpath={.items[0].status.nodeInfo.kubeletVersion} {.items[0].status.nodeInfo.containerRuntimeVersion}")
    expect("a real node", version, version.startswith(f"v{KUBERNETES} containerd://{CONTAINERD}"))
