"""The Secrets Store CSI driver on the node, with its RBAC and CRDs, from images of the rig."""
from cluster import apply, kubectl, until
from place import BIN, CSI_DRIVER, NODE

DEPLOY = BIN / "secrets-store-csi" / "deploy"
PLUGIN = "/var/lib/kubelet/plugins/csi-secrets-store"
PROVIDERS = "/var/run/secrets-store-csi-providers"


def install(rotation):
    """Installs it as docs/CSI.md says; with `rotation`, the kubelet repeats each mount every one to two minutes."""
    for name in ["rbac-secretproviderclass.yaml", "secrets-store.csi.x-k8s.io_secretproviderclasses.yaml",
                 "secrets-store.csi.x-k8s.io_secretproviderclasspodstatuses.yaml"]:
        kubectl("apply", "-f", DEPLOY / name)
    kubectl("delete", "csidriver", "secrets-store.csi.k8s.io", "--ignore-not-found")
    apply({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "secrets-store.csi.k8s.io"}, "spec": {
        "podInfoOnMount": True, "attachRequired": False, "volumeLifecycleModes": ["Ephemeral"], "requiresRepublish": rotation,
        "tokenRequests": [{"audience": "claviger", "expirationSeconds": 600}], "serviceAccountTokenInSecrets": True}})
    apply(daemon_set(rotation))
    kubectl("-n", "kube-system", "rollout", "status", "daemonset/csi-secrets-store", "--timeout=90s", seconds=100)
    until("the kubelet knows the driver", lambda: "secrets-store.csi.k8s.io" in kubectl("get", "csinode", NODE, "-o", "jsonpath={.spec.drivers[*].name}"))


def daemon_set(rotation):
    image = f"secrets-store-csi:{CSI_DRIVER}"
    mounts = {"plugin": "/csi", "pods": "/var/lib/kubelet/pods", "providers": PROVIDERS, "registration": "/registration"}
    paths = {"plugin": PLUGIN, "pods": "/var/lib/kubelet/pods", "providers": PROVIDERS, "registration": "/var/lib/kubelet/plugins_registry"}
    mount = [{"name": name, "mountPath": path, **({"mountPropagation": "Bidirectional"} if name == "pods" else {})} for name, path in mounts.items()]
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "csi-secrets-store", "namespace": "kube-system"}, "spec": {
        "selector": {"matchLabels": {"app": "csi-secrets-store"}},
        "template": {"metadata": {"labels": {"app": "csi-secrets-store"}}, "spec": {
            "serviceAccountName": "secrets-store-csi-driver",
            "containers": [
                {"name": "registrar", "image": image, "volumeMounts": [entry for entry in mount if entry["name"] == "registration"],
                 "command": ["/registrar", "--registration=/registration/secrets-store.csi.k8s.io-reg.sock", f"--endpoint={PLUGIN}/csi.sock"]},
                {"name": "driver", "image": image, "securityContext": {"privileged": True}, "volumeMounts": mount, "command": [
                    "/driver", "--endpoint=unix:///csi/csi.sock", f"--nodeid={NODE}", f"--provider-volume={PROVIDERS}",
                    "--additional-provider-volume-paths=/tmp", "--metrics-addr=:8095", f"--enable-secret-rotation={str(rotation).lower()}",
                    "--rotation-poll-interval=30s"]}],
            "volumes": [{"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}} for name, path in paths.items()]}}}}
