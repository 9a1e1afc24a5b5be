"""What every cluster runs: DNS and Tekton, from the files of its release."""
import re

from cluster import apply, kubectl, until
from place import BIN, DNS_SERVICE_IP, NODE_IP, TEKTON

CONFIG = BIN / "tekton" / "config"
FIRST = ["100-namespace/100-namespace.yaml", "200-clusterrole.yaml", "200-role.yaml", "200-serviceaccount.yaml", "201-clusterrolebinding.yaml",
         "201-rolebinding.yaml", "500-webhooks.yaml"]


def dns():
    ports = [{"name": name, "port": 53, "protocol": protocol} for name, protocol in [("dns", "UDP"), ("dns-tcp", "TCP")]]
    apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"},
           "spec": {"clusterIP": DNS_SERVICE_IP, "ports": ports}},
          {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}},
           "endpoints": [{"addresses": [NODE_IP], "conditions": {"ready": True}}], "ports": ports})


def image(match):
    return f"docker.io/library/tekton-{match.group(1)}:{TEKTON}"


def deployment(name):
    text = (CONFIG / f"{name}.yaml").read_text()
    text = re.sub(r"ko://github\.com/tektoncd/pipeline/cmd/(\w+)", image, text)
    return re.sub(r'"[^"]*/busybox@[^"]*"', '"docker.io/library/build:1"', text)


def tekton():
    """Applies Tekton's controller and webhook; its init containers comply with Pod Security `restricted`."""
    for name in [*FIRST, "300-crds"]:
        kubectl("apply", "--server-side", "-f", CONFIG / name)
    for path in sorted(CONFIG.glob("config-*.yaml")):
        kubectl("apply", "--server-side", "-f", path)
    kubectl("-n", "tekton-pipelines", "patch", "configmap", "feature-flags", "--type=merge", "-p", '{"data":{"set-security-context":"true"}}')
    for name in ["controller", "webhook"]:
        apply(deployment(name), server_side=True)


def tekton_is_up():
    for name in ["controller", "webhook"]:
        kubectl("-n", "tekton-pipelines", "rollout", "status", f"deployment/tekton-pipelines-{name}", "--timeout=120s", seconds=130)
    # The webhook has its certificate from itself, shortly after it is Ready.
    task = ('{"apiVersion":"tekton.dev/v1","kind":"Task","metadata":{"name":"probe","namespace":"default"},'
            '"spec":{"steps":[{"name":"a","image":"build:1","command":["true"]}]}}')
    until("Tekton's webhook answers", lambda: kubectl("create", "--dry-run=server", "-f", "-", given=task), 60)
