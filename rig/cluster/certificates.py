"""The cluster's keys and certificates, by openssl, and the kubeconfigs that use them."""
import json
import subprocess

from place import API_SERVER, API_SERVICE_IP, NODE, NODE_IP, STATE

FOLDER = STATE / "pki"

# File: organisation, common name, alternative names.
SIGNED = {
    "apiserver": ("", "kube-apiserver", f"IP:127.0.0.1,IP:{NODE_IP},IP:{API_SERVICE_IP},DNS:kubernetes,DNS:kubernetes.default,"
                  "DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"),
    "admin": ("system:masters", "admin", ""),
    "kubelet": ("system:nodes", f"system:node:{NODE}", f"IP:{NODE_IP},DNS:{NODE}"),
    "controller-manager": ("", "system:kube-controller-manager", ""),
    "scheduler": ("", "system:kube-scheduler", ""),
    "proxy": ("", "system:kube-proxy", ""),
    "claviger": ("", "claviger.claviger.svc", "DNS:claviger.claviger.svc,DNS:claviger.claviger.svc.cluster.local"),
    "store": ("", "store", f"IP:{NODE_IP}"),
}
KUBECONFIGS = ["admin", "kubelet", "controller-manager", "scheduler", "proxy"]


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], cwd=FOLDER, check=True, capture_output=True)


def write():
    FOLDER.mkdir(parents=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=cluster-ca", "-keyout", "ca.key", "-out", "ca.crt")
    for name, (organisation, common_name, alternatives) in SIGNED.items():
        subject = (f"/O={organisation}" if organisation else "") + f"/CN={common_name}"
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n"
        extensions += f"subjectAltName={alternatives}\n" if alternatives else ""
        (FOLDER / "extensions").write_text(extensions)
        openssl("req", "-new", *key, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-days", "30", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-extfile", "extensions", "-out", f"{name}.crt")
    openssl("genrsa", "-out", "service-accounts.key", "2048")
    openssl("rsa", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub")
    for name in KUBECONFIGS:
        (STATE / f"{name}.kubeconfig").write_text(json.dumps(kubeconfig(name)))
    for secret in FOLDER.glob("*.key"):
        secret.chmod(0o600)


def kubeconfig(name):
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}],
        "clusters": [{"name": "cluster", "cluster": {
            "server": API_SERVER, "certificate-authority": str(FOLDER / "ca.crt")}}],
        "users": [{"name": name, "user": {
            "client-certificate": str(FOLDER / f"{name}.crt"), "client-key": str(FOLDER / f"{name}.key")}}],
    }
